package transfer

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
)

// TestNotifyWaitsItsTurn: of the zones that tell a server of changes which does not
// answer only so many have a socket at a time; the others try later.
func TestNotifyWaitsItsTurn(t *testing.T) {
	at, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	all, _ := versions(t, 1)
	m := New(t.TempDir(), new(living), slog.New(slog.DiscardHandler))
	z := &zone{m: m, name: "example.", apex: wireOf("example.")}
	p := peer{addr: at.LocalAddr().(*net.UDPAddr).AddrPort()}
	s := m.heeding.at(p.addr)
	s.heard(&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded})
	var leave []func()
	for range mostAtServer {
		l, err := s.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, l)
	}
	soa := soaOf(all[0])
	if _, err := z.notify(t.Context(), p, &soa, notifyWait); !silent(err) {
		t.Errorf("while others wait in vain: %v", err)
	}
	var free atomic.Bool
	early := make(chan bool, 1)
	go func() {
		b := make([]byte, 512)
		n, from, err := at.ReadFromUDPAddrPort(b)
		early <- !free.Load()
		if err == nil {
			b[2] |= 0x80
			at.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	free.Store(true)
	leave[0]()
	z.tell(t.Context(), p, &version{zone: all[0]})
	if <-early {
		t.Error("it was told while others waited in vain")
	}
	if s.fault.Load() != nil {
		t.Error("it has answered, and is still taken for silent")
	}
}
