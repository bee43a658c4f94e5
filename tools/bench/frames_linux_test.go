package main

import (
	"net"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// All forms of a question are queries that differ, with one checksum.
func TestQuestionForms(t *testing.T) {
	for load, want := range map[string]int{"static": frameNames, xdpSteered: 254} {
		q, err := questionFor(load)
		if err != nil {
			t.Fatal(err)
		}
		mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
		from, to := netip.MustParseAddrPort("192.0.2.1:4000"), netip.MustParseAddrPort("192.0.2.2:53")
		sums, texts := map[[4]byte]bool{}, map[string]bool{}
		for i := range 1000 {
			var m dns.Msg
			if err := m.Unpack(q.at(i)); err != nil {
				t.Fatalf("%s %d: %v", load, i, err)
			}
			texts[m.String()] = true
			f := frameOf(mac, mac, from, to, q.at(i))
			sums[[4]byte{f[24], f[25], f[40], f[41]}] = true
		}
		if len(texts) != want || len(sums) != 1 {
			t.Errorf("%s: %d questions, want %d; %d checksums", load, len(texts), want, len(sums))
		}
	}
	if q, _ := questionFor("static"); true {
		for i := range frameNames {
			var m dns.Msg
			if err := m.Unpack(q.at(i)); err != nil || m.Question[0].Name != frameName(i%10*10+i/10) {
				t.Fatalf("%d: %v is not a name of the zone", i, m.Question)
			}
		}
	}
}
