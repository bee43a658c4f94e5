package dnsserver

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// What AF_XDP takes is answered octet by octet as over the sockets.
func TestXDPAnswersAsTheSockets(t *testing.T) {
	s, w := server(t, nil)
	x := &xdpQueue{s: s, w: s.responder(1, s.newCounters()), out: make([]byte, 0, maxMessage+maxRecordHead)}
	six := netip.MustParseAddrPort("[2001:db8::7]:4000")
	for _, src := range []netip.AddrPort{source, six} {
		for _, msg := range [][]byte{
			query(t, "static.abc.com.", dns.TypeA),
			query(t, "www.abc.com.", dns.TypeA, subnet("10.1.2.0/24")),
			query(t, "www.abc.com.", dns.TypeAAAA, edns(1232, false)),
			query(t, "x.sub.abc.com.", dns.TypeA),
			query(t, "nothing.abc.com.", dns.TypeTXT),
			{1, 2, 3},
		} {
			got := x.Answer(msg, src, 1452)
			want := s.answer(w, msg, src, false, make([]byte, 0, maxMessage+maxRecordHead))
			if !bytes.Equal(got, want) {
				t.Errorf("%x from %v:\n%x, want\n%x", msg, src, got, want)
			}
		}
	}
	st := s.Stats()
	if st.Queries["udp4"] != 6 || st.Queries["udp6"] != 6 {
		t.Errorf("queries by transport: %v", st.Queries)
	}
}

// An interface's MTU bounds answers as a small buffer of the client does.
func TestXDPAnswersFitTheInterface(t *testing.T) {
	s, w := server(t, nil)
	x := &xdpQueue{s: s, w: w, out: make([]byte, 0, maxMessage+maxRecordHead)}
	msg := query(t, "x.sub.abc.com.", dns.TypeA, edns(4096, false))
	whole := len(x.Answer(msg, source, 1452))
	for limit := whole; limit >= len(msg); limit-- {
		out := x.Answer(msg, source, limit)
		m := new(dns.Msg)
		if err := m.Unpack(out); err != nil || len(out) > limit {
			t.Fatalf("limit %d: %d octets, %v", limit, len(out), err)
		}
		if m.Truncated != (limit < whole) {
			t.Fatalf("limit %d of %d: TC is %v: %v", limit, whole, m.Truncated, m)
		}
	}
}

func TestXDPAllocatesNothing(t *testing.T) {
	s, w := server(t, nil)
	x := &xdpQueue{s: s, w: w, out: make([]byte, 0, maxMessage+maxRecordHead)}
	msg := query(t, "www.abc.com.", dns.TypeA, subnet("10.1.2.0/24"))
	if n := testing.AllocsPerRun(200, func() { x.Answer(msg, source, 1452) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// An interface that is not there takes nothing away, and is told of.
func TestXDPWithoutItsInterface(t *testing.T) {
	s := New(Config{Listen: []string{"127.0.0.1:0"}, XDP: []string{"gslb-none"}}, discard())
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if st := s.XDP(); len(st) != 1 || st[0].Interface != "gslb-none" || st[0].Problem == "" {
		t.Errorf("%+v", st)
	}
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(s.Collector(func() []string { return nil })); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
}
