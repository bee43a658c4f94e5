package differential

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"

	"gslb/test/bed"
)

// signedSource has what denial treats in its own way each: wildcards, empty
// non-terminals, aliases into all of that, DNAME, delegations with and without DS.
const signedSource = `$TTL 3600
@                 SOA   ns1 hostmaster 1 7200 3600 1209600 300
@                 NS    ns1
@                 NS    ns.elsewhere.example.
@                 MX    10 Mail
@                 TXT   "apex"
ns1               A     192.0.2.1
ns1               AAAA  2001:db8::1
mail              A     192.0.2.2
*.wild            TXT   "wildcard"
*.wild            A     192.0.2.77
host.wild         A     192.0.2.78
sub.*.nested      A     192.0.2.3
a.b.c.ent         A     192.0.2.4
Upper             CNAME Mail
alias             CNAME x.wild
alias2            CNAME nothere
alias3            CNAME mail
*.cwild           CNAME y.wild
tree              DNAME other
x.other           A     192.0.2.66
insecure          NS    ns.insecure
ns.insecure       A     192.0.2.10
deep.x.insecure2  NS    ns.elsewhere.example.
deep.only.optout  NS    ns.elsewhere.example.
secure            NS    ns.secure
secure            DS    1 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.secure         A     192.0.2.11
srv._tcp          SRV   1 2 3 mail
*.wsrv            SRV   1 2 3 ns1
*.wsrv            HTTPS 0 svc
*.wsrv            MX    1 ns1
svc               HTTPS 1 . alpn=h2
svc               A     192.0.2.12
svc               AAAA  2001:db8::12
`

// signedZones signs that source in several ways, with the tools of BIND and of
// NLnet Labs.
func signedZones(t *testing.T, dir string) []*zone {
	t.Helper()
	keygen, bind, ldns := tool(t, "dnssec-keygen"), tool(t, "dnssec-signzone"), tool(t, "ldns-signzone")
	var zones []*zone
	for _, kind := range []struct {
		origin, algorithm string
		options           []string
	}{
		{"nsec.test", "ECDSAP256SHA256", nil},
		{"nsec3.test", "ED25519", []string{"-3", "-"}},
		{"optout.test", "ECDSAP256SHA256", []string{"-3", "-", "-A"}},
		{"salt.test", "RSASHA256", []string{"-3", "aabb", "-H", "5"}},
		{"ldns.test", "RSASHA256", nil},
	} {
		source, out := filepath.Join(dir, kind.origin), filepath.Join(dir, kind.origin+".signed")
		write(t, source, "$ORIGIN "+kind.origin+".\n"+signedSource)
		key := run(t, dir, keygen, "-q", "-a", kind.algorithm, "-f", "KSK", kind.origin)
		zsk := run(t, dir, keygen, "-q", "-a", kind.algorithm, kind.origin)
		if kind.origin == "ldns.test" {
			run(t, dir, ldns, "-f", out, source, key, zsk)
		} else {
			run(t, dir, bind, append(append([]string{"-S", "-O", "full", "-o", kind.origin, "-f", out}, kind.options...), source)...)
		}
		zones = append(zones, readZone(t, kind.origin+".", out, ""))
	}
	return zones
}

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		bed.Missing(t, "%s is not installed: zones are signed with it", name)
	}
	return path
}

// run runs a command in a directory and gives its output without the end of line.
func run(t *testing.T, dir, command string, args ...string) string {
	t.Helper()
	cmd := exec.Command(command, args...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", command, args, err, out)
	}
	for len(out) > 0 && out[len(out)-1] == '\n' {
		out = out[:len(out)-1]
	}
	return string(out)
}

// TestSignedAnswersAgree asks gslb, NSD, Knot DNS and BIND the same with DO, of
// zones that came signed.
func TestSignedAnswersAgree(t *testing.T) {
	bed.Long(t)
	zones := signedZones(t, t.TempDir())
	peers := startPeers(t, zones)
	ta := &tally{explained: map[string]int{}}
	a, err := newAsker(peers)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	asked := 0
	for _, z := range zones {
		for _, p := range pairsOf(z, 2) {
			if dns.IsSubDomain("hash."+z.origin, p.name) {
				continue
			}
			var whole *answer
			for i, w := range []way{{network: "tcp", edns: 4096, do: true}, {network: "udp", edns: 1232, do: true, cd: asked%2 == 0}} {
				raw, err := a.ask(w.network, w.message(p, uint16(asked*8+i)))
				if err != nil {
					t.Fatal(err)
				}
				c := comparison{zones: zones, pair: p, way: w, answers: make([]*answer, len(raw))}
				for j := range raw {
					c.answers[j] = take(raw[j], peers[j].adorns)
				}
				if i == 0 {
					whole = c.gslb()
				}
				c.whole = whole
				if err := wellFormed(c.gslb(), whole, w); err != nil {
					ta.fail(fmt.Sprintf("gslb: %v\n%s", err, c.report(peers)))
				}
				ta.compare(peers, c)
			}
			asked++
		}
	}
	for _, s := range ta.shown {
		t.Error(s)
	}
	if n := ta.against[0] + ta.against[1]; n > 0 {
		t.Errorf("%d unexplained differences (against all three: %d)", n, ta.against[1])
	}
	ta.notSeen(t, withDO)
	if asked < 700 {
		t.Errorf("only %d questions were asked", asked)
	}
	t.Logf("%d questions; explained differences by id: %v", asked, ta.explained)
}
