package dnssec

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A proof is the NSEC of RFC 9824, section 3.1, signed by each key that signs the zone, so that another
// implementation finds it right; made again before it is due it is the same, and afterwards another.
func TestCompact(t *testing.T) {
	for _, alg := range []Algorithm{ECDSAP256SHA256, ED25519, RSASHA256} {
		one, two := mustKey(t, "example.", alg, ZSK), mustKey(t, "example.", ECDSAP384SHA384, ZSK)
		c := NewCompact(&Signing{Compact: true, Keys: Plan{SignZone: []*Key{one, two}}}, 60)
		for name, want := range map[string]string{
			"a.Example.":      `a.example.	60	IN	NSEC	\000.a.example. RRSIG NSEC NXNAME`,
			`\000.b.example.`: `\000.b.example.	60	IN	NSEC	\000.\000.b.example. RRSIG NSEC NXNAME`,
		} {
			p, err := c.Prove(mustName(t, name), testTime)
			if err != nil {
				t.Fatal(err)
			}
			owner := mustName(t, strings.ToLower(name))
			nsec := recordOf(t, owner, dns.TypeNSEC, dns.ClassINET, p.TTL, p.NSEC)
			if got := nsec.String(); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if len(p.RRSIG) != 2 {
				t.Fatalf("%d signatures", len(p.RRSIG))
			}
			for i, k := range []*Key{one, two} {
				sig := recordOf(t, owner, dns.TypeRRSIG, dns.ClassINET, p.TTL, p.RRSIG[i]).(*dns.RRSIG)
				public := recordOf(t, k.Zone, dns.TypeDNSKEY, dns.ClassINET, 3600, k.DNSKEY()).(*dns.DNSKEY)
				if err := sig.Verify(public, []dns.RR{nsec}); err != nil || int(sig.Labels) != dns.CountLabel(name) {
					t.Errorf("%s by %s: %v, %d labels", name, k, err, sig.Labels)
				}
				if last := p.Due.Add(DefaultTimes.Refresh); !sig.ValidityPeriod(testTime.Add(-DefaultTimes.Backdate)) || !sig.ValidityPeriod(last) {
					t.Errorf("%s: from %d to %d, to be made anew at %v", name, sig.Inception, sig.Expiration, p.Due)
				}
			}
			soon, err := c.Prove(mustName(t, strings.ToUpper(name)), p.Due.Add(-time.Second))
			if err != nil || string(soon.RRSIG[0])+string(soon.RRSIG[1]) != string(p.RRSIG[0])+string(p.RRSIG[1]) {
				t.Errorf("%s: another proof before it is due, %v", name, err)
			}
			if next, err := c.Prove(mustName(t, name), p.Due); err != nil || !next.Due.After(p.Due) {
				t.Errorf("%s: due at %v again, %v", name, next.Due, err)
			}
		}
	}
	if NewCompact(&Signing{}, 60) != nil {
		t.Error("proofs where they are not wanted")
	}
	long := strings.Repeat("x.", 120)
	for name, want := range map[string]bool{"a.example.": true, long + "abc.example.": true, long + "abcd.example.": false, "*.example.": false, "a.*.example.": true} {
		if got := HasCompact(mustName(t, name)); got != want {
			t.Errorf("%s of %d octets: %v", name, len(mustName(t, name)), got)
		}
	}
}
