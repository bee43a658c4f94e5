package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestAlias: an ALIAS at the apex answers with the addresses of a steered name, is
// explained and transferred as configured, taken by another node, and changed by
// UPDATE; what it may not lead to is refused.
func TestAlias(t *testing.T) {
	t.Parallel()
	needTool(t, "nsupdate")
	dir := t.TempDir()
	writeZone(t, dir, 1, "@ 20 IN ALIAS steered\nplain IN ALIAS mail\n")
	write(t, dir, "moved.zone", "$TTL 300\n@ IN SOA ns1 hostmaster 1 2 1 600 60\n@ IN NS ns1\nns1 IN A 127.0.0.1\n@ IN ALIAS web\nweb IN A 192.0.2.44\nout IN A 192.0.2.45\n")
	first := startMover(t, dir, freeAddress(t), fmt.Sprintf(`[[zone]]
name = "example."
file = "example.zone"
transfer_to = [{ network = "127.0.0.0/8" }]
  [[zone.update]]
  key = %q

[[zone]]
name = "moved."
file = "moved.zone"
steered = "omit"
transfer_to = [{ network = "127.0.0.0/8" }]

[[site]]
name = "kt"
cname = "mail.example."
addresses = ["192.0.2.25"]

[[steer]]
name = "steered.example."
answer = "cname"
  [[steer.rule]]
  to = ["kt"]
`, moveKey))
	secondDir := t.TempDir()
	second := startMover(t, secondDir, freeAddress(t), fmt.Sprintf("[[zone]]\nname = \"moved.\"\nfile = \"copy.zone\"\nprimaries = [{ address = %q }]\n", first.dns))
	ask := func(m *mover, name, want string) {
		t.Helper()
		r, err := exchange("udp", m.dns, new(dns.Msg).SetQuestion(name, dns.TypeA))
		got := ""
		if err == nil {
			got = dns.RcodeToString[r.Rcode]
			for _, rr := range r.Answer {
				got += fmt.Sprintf(" %d %s", rr.Header().Ttl, dns.Field(rr, 1))
			}
		}
		if got != want {
			t.Errorf("%s at %s: %q, want %q (%v)", name, m.dns, got, want, err)
		}
	}
	ask(first, "example.", "NOERROR 20 192.0.2.25")
	ask(first, "plain.example.", "NOERROR 300 192.0.2.25")
	out := must(t, binary(t), "explain", "example.", "--client", "192.0.2.1", "--config", first.config)
	if !strings.Contains(out, "It has an ALIAS record: its addresses are those of steered.example.") || !strings.Contains(out, "kt") {
		t.Errorf("explain says\n%s", out)
	}

	sent := "\n" + strings.Join(axfr(t, first.dns, "example.", "", ""), "\n") + "\n"
	for _, want := range []string{"\nexample. 20 in a 192.0.2.25\n", "\nplain.example. 300 in a 192.0.2.25\n"} {
		if !strings.Contains(sent, want) || strings.Contains(sent, "65401") || strings.Contains(sent, "alias") {
			t.Errorf("no %q, or ALIAS records, in%s", want, sent)
		}
	}
	hasSerial(t, second.dns, "moved.", 1)
	ask(second, "moved.", "NOERROR 300 192.0.2.44")
	if text := readFile(t, secondDir+"/copy.zone"); !strings.Contains(text, "TYPE65401\t\\# 11 03776562") {
		t.Errorf("the copy has no ALIAS record:\n%s", text)
	}

	const to = `\# 14 046D61696C076578616D706C6500` // mail.example.
	for _, c := range []struct{ what, script, says, name, want string }{
		{"add", "update add new.example. 60 TYPE65401 " + to, "", "new.example.", "NOERROR 60 192.0.2.25"},
		{"replace", `update add new.example. 60 TYPE65401 \# 13 036E7331076578616D706C6500`, "", "new.example.", "NOERROR 60 127.0.0.1"},
		{"to another server's", `update add bad.example. 60 TYPE65401 \# 6 04676F6E6500`, "REFUSED", "bad.example.", "NXDOMAIN"},
		{"an address beside it", "update add new.example. 60 A 192.0.2.1", "REFUSED", "new.example.", "NOERROR 60 127.0.0.1"},
		{"a CNAME beside it", "update add new.example. 60 CNAME mail.example.", "", "new.example.", "NOERROR 60 127.0.0.1"},
		{"the target", "update delete ns1.example. A\nupdate add ns1.example. 30 A 127.0.0.2", "", "new.example.", "NOERROR 30 127.0.0.2"},
		{"the target's end", "update delete ns1.example. A", "", "new.example.", "NOERROR"},
		{"delete", "update delete new.example. TYPE65401", "", "new.example.", "NXDOMAIN"},
	} {
		r := nsupdate(t, first.dns, moveY, "zone example.\n"+c.script+"\nsend")
		if said := strings.TrimSpace(r.out + r.err); c.says == "" && said != "" || !strings.Contains(said, c.says) {
			t.Errorf("%s: nsupdate says %q, want %q", c.what, said, c.says)
		}
		ask(first, c.name, c.want)
	}
	if log := first.log.String(); !strings.Contains(log, "gone. is in none of the zones served here") {
		t.Error("the log does not tell why an update was refused")
	}
}
