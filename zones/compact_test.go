package zones

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnssec"
)

// Where a proof of the name itself can be given, the answer that has it is validated; it can be given
// for names that do not exist and for no others, whatever the chain beside it, and the answers of all others
// are as without it.
func TestCompact(t *testing.T) {
	for name, s := range signings(t) {
		if name == "split" || name == "salt" || name == "nsec3" {
			continue // the others have it all
		}
		t.Run(name, func(t *testing.T) {
			db := signedDB(t, signedExample, s, steeredSample)
			compact := *s
			compact.Compact = true
			db, err := db.Resign(map[string]*dnssec.Signing{"abc.com.": &compact})
			if err != nil {
				t.Fatal(err)
			}
			z := db.Zones()[0]
			v := &validator{apex: z.Name, keys: keysOf(t, db, z.Name), now: signTime}
			names, _ := questions(z)
			given, others := 0, 0
			for i, name := range append(names, "nothere.abc.com.", "x.y.nothere.abc.com.", "NotHere.abc.com.", "*.nothere.abc.com.") {
				if i%3 > 0 && i < len(names) {
					continue
				}
				types := []uint16{dns.TypeA, dns.TypeDS, dns.TypeTXT, dns.TypeHTTPS}
				for _, qtype := range []uint16{types[i%len(types)], dns.TypeNSEC, dns.TypeRRSIG, dns.TypeANY} {
					_, chain, r := asked(t, db, name, qtype, true)
					if !r.CanProve(qtype) {
						others++
						alias := len(chain.Answer) > 0
						if meta := qtype == dns.TypeNSEC || qtype == dns.TypeRRSIG || qtype == dns.TypeANY; chain.Rcode == dns.RcodeNameError && !meta && !alias && !strings.HasPrefix(name, "*.") {
							t.Errorf("%s %s has no proof of its own", name, dns.Type(qtype))
						}
						continue
					}
					given++
					if chain.Rcode != dns.RcodeNameError {
						t.Fatalf("a proof that a name that exists does not:\n%s", chain)
					}
					p, err := r.Prove(signTime)
					if err != nil {
						t.Fatal(err)
					}
					if !p.Proves(r, signTime.Unix()) || p.Proves(r, p.due) || (*CompactProof)(nil).Proves(r, 0) {
						t.Errorf("%s: proves %v, when due %v", name, p.Proves(r, signTime.Unix()), p.Proves(r, p.due))
					}
					for _, nxdomain := range []bool{false, true} {
						fast, slow, _ := askedAt(t, db, name, qtype, true, 0, func(r *Result) { r.Put(p, nxdomain) })
						if a, b := sectionsOf(fast), sectionsOf(slow); a != b {
							t.Errorf("ready\n%s\nencoded\n%s", a, b)
						}
						if want := map[bool]int{true: dns.RcodeNameError}[nxdomain]; slow.Rcode != want || len(slow.Ns) != 2+2*len(s.Keys.SignZone) || len(slow.Answer) != 0 {
							t.Errorf("NXDOMAIN %v:\n%s", nxdomain, slow)
						}
						if at := slices.IndexFunc(slow.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeNSEC }); at < 0 || !slices.Contains(slow.Ns[at].(*dns.NSEC).TypeBitMap, dns.TypeNXNAME) {
							t.Errorf("no NXNAME in\n%s", slow)
						}
						slow.Rcode = dns.RcodeSuccess // by the bitmap alone
						if err := v.check(slow); err != nil {
							t.Errorf("%s %s: %v\n%s", name, dns.Type(qtype), err, slow)
						}
					}
					if t.Failed() {
						return
					}
				}
			}
			if given < 10 || others < 50 {
				t.Errorf("%d with a proof of their own, %d without", given, others)
			}
			if _, _, r := asked(t, db, "nothere.abc.com.", dns.TypeA, false); r.CanProve(dns.TypeA) {
				t.Error("a proof for those who did not set DO")
			}
		})
	}
}

// What was proven by keys that have gone, or for a zone that changed its ways, is no proof any more;
// an edit of other names leaves it one.
func TestCompactKeys(t *testing.T) {
	one, two := key(t, "abc.com.", dnssec.ECDSAP256SHA256, dnssec.CSK), key(t, "abc.com.", dnssec.ED25519, dnssec.CSK)
	db := signedDB(t, signedExample, &dnssec.Signing{Keys: csk(one), Denial: dnssec.WithNSEC3, Compact: true}, nil)
	looked := func(db *DB) *Result {
		_, _, r := asked(t, db, "nothere.abc.com.", dns.TypeA, true)
		return r
	}
	p, err := looked(db).Prove(signTime)
	if err != nil {
		t.Fatal(err)
	}
	both := csk(one)
	both.Publish, both.SignKeys, both.SignZone = append(both.Publish, two), append(both.SignKeys, two), append(both.SignZone, two)
	for _, c := range []struct {
		what string
		s    dnssec.Signing
		can  bool
		sigs int
	}{
		{"as it was", dnssec.Signing{Keys: csk(one), Denial: dnssec.WithNSEC3, Compact: true}, true, 1},
		{"in a roll", dnssec.Signing{Keys: both, Denial: dnssec.WithNSEC3, Compact: true}, true, 2},
		{"after it", dnssec.Signing{Keys: csk(two), Denial: dnssec.WithNSEC3, Compact: true}, true, 1},
		{"other times", dnssec.Signing{Keys: csk(two), Denial: dnssec.WithNSEC3, Compact: true, Times: dnssec.Times{Validity: 20 * 24 * time.Hour, Refresh: 5 * 24 * time.Hour, Step: time.Hour}}, true, 1},
		{"not any more", dnssec.Signing{Keys: csk(two), Denial: dnssec.WithNSEC3}, false, 0},
	} {
		same := c.what == "as it was"
		if db, err = db.Resign(map[string]*dnssec.Signing{"abc.com.": &c.s}); err != nil {
			t.Fatal(err)
		}
		r := looked(db)
		if r.CanProve(dns.TypeA) != c.can || db.Zones()[0].Compact() != c.can {
			t.Fatalf("%s: can be proven: %v", c.what, r.CanProve(dns.TypeA))
		}
		if !c.can {
			continue
		}
		if p.Proves(r, signTime.Unix()) != same {
			t.Errorf("%s: the proof of before is good: %v", c.what, !same)
		}
		if p, err = r.Prove(signTime); err != nil || int(p.set.Sigs) != c.sigs || !p.Proves(r, signTime.Unix()) {
			t.Errorf("%s: %d signatures, %v", c.what, p.set.Sigs, err)
		}
	}
}
