package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestCanaryShare: a revision that a share of the clients' networks gets first is
// answered to these alone, whoever asks again, until it is promoted; and no
// answer is for a wider network than was drawn.
func TestCanaryShare(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.startPlainSites()
	tp.startEtcd()
	text := strings.Replace(tp.configuration(), fmt.Sprintf("%q\n", tp.zone), "\"abc.com.zone\"\ndnssec = \"default\"\n", 1)
	to := func(site string) {
		t.Helper()
		write(t, tp.dir, "topology.toml", strings.ReplaceAll(text, `to = ["nearest:all"]`, fmt.Sprintf("to = [%q]", site)))
	}
	n := tp.startFollower("ns1", "")
	to("lgu")
	n.applied()
	n.waitUp("kt", "lgu", "cn", "us")
	// sites are where 64 networks of which nothing is known are sent.
	sites := func(scope uint8) (all string) {
		t.Helper()
		for i := range 64 {
			m := n.ask("www.abc.com.", dns.TypeA, fmt.Sprintf("20.1.%d.1/24", i))
			if got := subnetOf(m).SourceScope; got < scope {
				t.Fatalf("scope /%d, want /%d at least", got, scope)
			}
			all += siteOf(m) + " "
		}
		return all
	}
	count := func(all string) int { return strings.Count(all, "us ") }
	if all := sites(0); count(all) != 0 {
		t.Fatalf("before: %s", all)
	}
	n.signsFor("www", 64, dns.RcodeSuccess)
	to("us")
	text += strings.Replace(severalSites, "set.", "new.", 1)
	to("us")
	n.applied("--canary", "share=50%")
	tried := sites(24) // every node has it, as --wait says
	if again := sites(24); again != tried || count(tried) == 0 || count(tried) == 64 {
		t.Errorf("tried on\n%s, then on\n%s", tried, again)
	}
	n.signsFor("www", 64, dns.RcodeSuccess)
	n.signsFor("new", 64, dns.RcodeNameError) // for caches, a name is there or is not: it waits
	if out := must(t, binary(t), "status", "--api", n.api); !strings.Contains(out, "is a CANARY on 50 % of the clients' networks") {
		t.Errorf("status does not tell:\n%s", out)
	}
	must(t, binary(t), "promote", "--api", n.api, "--wait", "--why", "it is good")
	if all := sites(0); count(all) != 64 {
		t.Errorf("after the promotion: %s", all)
	}
	n.signsFor("new", 1, dns.RcodeSuccess)
}

// signsFor sees that what many networks are answered about a name of abc.com is signed by the keys that
// anyone sees, records and proofs.
func (n *node) signsFor(name string, networks, rcode int) {
	n.t.Helper()
	keys := map[uint16]*dns.DNSKEY{}
	q := question("abc.com.", dns.TypeDNSKEY, "")
	q.IsEdns0().SetDo()
	m, err := exchange("tcp", n.dns, q)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, rr := range m.Answer {
		if key, ok := rr.(*dns.DNSKEY); ok {
			keys[key.KeyTag()] = key
		}
	}
	for i := range networks {
		q := question(name+".abc.com.", dns.TypeA, fmt.Sprintf("20.1.%d.1/24", i))
		q.IsEdns0().SetDo()
		m, err := exchange("tcp", n.dns, q)
		if err != nil {
			n.t.Fatal(err)
		}
		if m.Rcode != rcode {
			n.t.Fatalf("%s: %v", name, m)
		}
		sets := map[string][]dns.RR{}
		var sigs []*dns.RRSIG
		for _, rr := range append(m.Answer, m.Ns...) {
			if sig, ok := rr.(*dns.RRSIG); ok {
				sigs = append(sigs, sig)
				continue
			}
			key := strings.ToLower(rr.Header().Name) + dns.TypeToString[rr.Header().Rrtype]
			sets[key] = append(sets[key], rr)
		}
		if len(sigs) == 0 || len(sigs) != len(sets) {
			n.t.Fatalf("%d signatures of %d sets: %v", len(sigs), len(sets), m)
		}
		for _, sig := range sigs {
			set := sets[strings.ToLower(sig.Hdr.Name)+dns.TypeToString[sig.TypeCovered]]
			if key := keys[sig.KeyTag]; key == nil || sig.Verify(key, set) != nil {
				n.t.Fatalf("a signature is of none of its keys, or of another set: %v\n%v", sig, m)
			}
		}
	}
}
