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
	text := strings.Replace(tp.configuration(), fmt.Sprintf("%q", tp.zone), `"abc.com.zone"`, 1)
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
	to("us")
	n.applied("--canary", "share=50%")
	tried := sites(24) // every node has it, as --wait says
	if again := sites(24); again != tried || count(tried) == 0 || count(tried) == 64 {
		t.Errorf("tried on\n%s, then on\n%s", tried, again)
	}
	if out := must(t, binary(t), "status", "--api", n.api); !strings.Contains(out, "is a CANARY on 50 % of the clients' networks") {
		t.Errorf("status does not tell:\n%s", out)
	}
	must(t, binary(t), "promote", "--api", n.api, "--wait", "--why", "it is good")
	if all := sites(0); count(all) != 64 {
		t.Errorf("after the promotion: %s", all)
	}
}
