package transfer

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestStrangersCannotFillTheLog: what anybody can send without a key is told of some
// times, and then once a second with how often it was left out; what was signed always.
func TestStrangersCannotFillTheLog(t *testing.T) {
	z := updatedZone(t, 0)
	z.set.Store(&settings{}) // it takes no updates
	var log bytes.Buffer
	z.m.log = slog.New(slog.NewTextHandler(&log, nil))
	z.m.strangers = newStrangers(z.m.log)
	z.m.state.Store(&state{zones: map[string]*zone{string(z.apex): z}})
	update := new(dns.Msg).SetUpdate("example.")
	wire, err := update.Pack()
	if err != nil {
		t.Fatal(err)
	}
	send := func() (rcode int) {
		z.m.Respond(context.Background(), wire, netip.MustParseAddrPort("192.0.2.1:53"), false, nil, nil, func(msg []byte) error {
			rcode = int(msg[3] & 0xf)
			return nil
		})
		return rcode
	}
	begin := time.Now()
	for range 2000 {
		if rcode := send(); rcode != dns.RcodeRefused {
			t.Fatalf("rcode %d", rcode)
		}
	}
	lines := strings.Count(log.String(), "an update is refused")
	if most := strangersAtOnce + int(time.Since(begin).Seconds())*strangersPerSec + 1; lines < strangersAtOnce || lines > most {
		t.Errorf("%d lines in the log, want %d to %d", lines, strangersAtOnce, most)
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(log.String(), "left_out="); send() {
		if time.Now().After(deadline) {
			t.Fatalf("the log does not tell how many lines it leaves out:\n%s", log.String())
		}
		time.Sleep(10 * time.Millisecond)
	}

	log.Reset()
	r := &request{}
	r.session.key = &key{}
	for range 100 {
		z.m.refused(r, "a transfer is refused")
	}
	if n := strings.Count(log.String(), "a transfer is refused"); n != 100 {
		t.Errorf("%d of 100 refusals of a client with a key are in the log", n)
	}
}
