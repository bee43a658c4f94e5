package test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestWatchZones: with node.watch_zones nobody tells gslb of what has changed. What
// is wrong with one file keeps that file's zone as it was, and no other.
func TestWatchZones(t *testing.T) {
	t.Parallel()
	tp := newTopology(t)
	zone := func(address string) string {
		return "$TTL 60\n@ SOA ns1 hostmaster 1 3600 900 604800 60\n@ NS ns1\nns1 A 192.0.2.53\nwww A " + address + "\n"
	}
	put := func(name, text string) { replace(t, tp.path("many/"+name), []byte(text)) }
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(os.Mkdir(tp.path("many"), 0o755))
	put("one.example.zone", zone("192.0.2.1"))
	put("two.example.zone", zone("192.0.2.2"))
	tp.extra += "\n[[zones]]\nfiles = \"many/*.zone\"\n"
	config := tp.writeDNSNode()
	replaceText(t, config, "[node]\n", "[node]\nwatch_zones = true\n")
	n := tp.startNode("ns1", config, tp.dns, tp.api)
	n.answers("www.one.example.", dns.TypeA, "www.one.example. A 192.0.2.1")
	ok := func() {
		t.Helper()
		n.waitStatus(patience, func(s status) error {
			for _, p := range s.Problems {
				if strings.Contains(p, "files of zones") {
					return fmt.Errorf("still a problem: %s", p)
				}
			}
			return nil
		})
	}

	// An edit, a new zone, one whose file is gone; an edit in place, and of an included file.
	put("one.example.zone", zone("192.0.2.11"))
	put("three.example.zone", zone("192.0.2.3"))
	do(os.Remove(tp.path("many/two.example.zone")))
	n.answers("www.one.example.", dns.TypeA, "www.one.example. A 192.0.2.11")
	n.answers("www.three.example.", dns.TypeA, "www.three.example. A 192.0.2.3")
	refused := func(name string) {
		t.Helper()
		until(t, patience, func() error {
			if m, err := exchange("udp", n.dns, question(name, dns.TypeA, "")); err != nil || m.Rcode != dns.RcodeRefused {
				return fmt.Errorf("a zone that is gone: %v, %v", m, err)
			}
			return nil
		})
	}
	refused("www.two.example.")
	do(os.WriteFile(tp.path("many/one.example.zone"), []byte(zone("192.0.2.12")), 0o644))
	replace(t, tp.path("abc.com.hosts"), []byte("included IN A 192.0.2.71\n"))
	n.answers("www.one.example.", dns.TypeA, "www.one.example. A 192.0.2.12")
	n.answers("included.abc.com.", dns.TypeA, "included.abc.com. A 192.0.2.71")

	// Two bad files, an edited one and a new one, among good ones.
	put("one.example.zone", zone("not-an-address"))
	put("four.example.zone", zone("neither"))
	put("three.example.zone", zone("192.0.2.33"))
	put("five.example.zone", zone("192.0.2.5"))
	n.answers("www.three.example.", dns.TypeA, "www.three.example. A 192.0.2.33")
	n.answers("www.five.example.", dns.TypeA, "www.five.example. A 192.0.2.5")
	n.problem("one.example.zone")
	n.problem("four.example.zone")
	n.answers("www.one.example.", dns.TypeA, "www.one.example. A 192.0.2.12")
	put("one.example.zone", zone("192.0.2.13"))
	put("four.example.zone", zone("192.0.2.4"))
	n.answers("www.one.example.", dns.TypeA, "www.one.example. A 192.0.2.13")
	n.answers("www.four.example.", dns.TypeA, "www.four.example. A 192.0.2.4")
	ok()

	// What is wrong and comes to be as it was is no problem any more, nor is what goes.
	put("one.example.zone", zone("wrong"))
	put("six.example.zone", zone("wrong"))
	n.problem("one.example.zone")
	n.problem("six.example.zone")
	put("one.example.zone", zone("192.0.2.13"))
	do(os.Remove(tp.path("many/six.example.zone")))
	ok()
}
