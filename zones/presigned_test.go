package zones

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
)

const presignedRecords = `$TTL 300
@      SOA ns1 host 1 7200 900 1209600 60
       NS  ns1
ns1    A   192.0.2.53
www    A   192.0.2.80
       TXT "x"
a.b.c  A   192.0.2.81
sub    NS  ns.sub
ns.sub A   192.0.2.54
safe   NS  ns.sub
       DS  1 13 2 0000000000000000000000000000000000000000000000000000000000000000
`

// without makes a zone of the records of another that keep keeps.
func without(t *testing.T, z *Zone, keep func(owner string, r RR) bool) *Zone {
	t.Helper()
	n, err := Make(z.Name, "primary", func(yield func(RR) bool) {
		for owner, set := range z.Walk() {
			for r := range set.Of(owner) {
				if keep(dnsname.Format(owner), r) && !yield(r) {
					return
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func signsType(r RR, rrtype uint16, algorithms ...dnssec.Algorithm) bool {
	if r.Type != dns.TypeRRSIG || binary.BigEndian.Uint16(r.Data) != rrtype {
		return false
	}
	for _, a := range algorithms {
		if r.Data[2] == byte(a) {
			return true
		}
	}
	return len(algorithms) == 0
}

// What is wrong with a zone that comes signed is found, by name, type and
// algorithm, and nothing is where nothing is wrong.
func TestPresigned(t *testing.T) {
	a, b := key(t, "abc.com.", dnssec.ECDSAP256SHA256, dnssec.CSK), key(t, "abc.com.", dnssec.ED25519, dnssec.CSK)
	both := []*dnssec.Key{a, b}
	keys := dnssec.Plan{Publish: both, SignKeys: both, SignZone: both}
	zone := func(denial dnssec.Denial, optOut bool) *Zone {
		return signedDB(t, presignedRecords, &dnssec.Signing{Keys: keys, Denial: denial, NSEC3: dnssec.NSEC3Params{OptOut: optOut}}, nil).Zones()[0]
	}
	nsec, nsec3, optOut := zone(dnssec.WithNSEC, false), zone(dnssec.WithNSEC3, false), zone(dnssec.WithNSEC3, true)
	if _, ok := nsec.Presigned(signTime); ok {
		t.Error("what is signed here is none of its business")
	}
	all := func(string, RR) bool { return true }
	for _, c := range []struct {
		what  string
		zone  *Zone
		keep  func(owner string, r RR) bool
		after time.Duration
		want  []string // in the faults, in their order; nil: none
	}{
		{what: "whole", zone: nsec, keep: all},
		{what: "whole, NSEC3", zone: nsec3, keep: all},
		{what: "whole, opt-out", zone: optOut, keep: all},
		{what: "an algorithm is missing", zone: nsec, keep: func(o string, r RR) bool { return o != "www.abc.com." || !signsType(r, dns.TypeTXT, dnssec.ED25519) },
			want: []string{"zone abc.com.: primary: www.abc.com. TXT has no signature of algorithm 15 (ED25519)"}},
		{what: "of DS", zone: nsec, keep: func(o string, r RR) bool { return !signsType(r, dns.TypeDS) },
			want: []string{"safe.abc.com. DS has no signature of algorithm 13 (ECDSAP256SHA256)", "safe.abc.com. DS has no signature of algorithm 15"}},
		{what: "of the SOA", zone: nsec, keep: func(o string, r RR) bool { return !signsType(r, dns.TypeSOA) },
			want: []string{"abc.com. SOA has no signature of algorithm 13", "abc.com. SOA has no signature of algorithm 15"}},
		{what: "of an NSEC3", zone: nsec3, keep: func(o string, r RR) bool { return o == "abc.com." || !signsType(r, dns.TypeNSEC3, dnssec.ED25519) },
			want: []string{"NSEC3 has no signature of algorithm 15", "NSEC3", "NSEC3", "NSEC3", "NSEC3", "more faults"}},
		{what: "an algorithm everywhere", zone: nsec, keep: func(o string, r RR) bool { return r.Type != dns.TypeRRSIG || r.Data[2] == 13 },
			want: []string{"algorithm 15", "algorithm 15", "algorithm 15", "algorithm 15", "algorithm 15", "and 9 more faults"}},
		{what: "a key is gone", zone: nsec, keep: func(o string, r RR) bool { return r.Type != dns.TypeDNSKEY || r.Data[3] == 13 }},
		{what: "all keys are", zone: nsec, keep: func(o string, r RR) bool { return r.Type != dns.TypeDNSKEY },
			want: []string{"abc.com. DNSKEY: there is none that signs"}},
		{what: "no NSEC", zone: nsec, keep: func(o string, r RR) bool { return r.Type != dns.TypeNSEC && !signsType(r, dns.TypeNSEC) },
			want: []string{"it has signatures, but no NSEC or NSEC3 records"}},
		{what: "no NSEC3PARAM", zone: nsec3, keep: func(o string, r RR) bool { return r.Type != dns.TypeNSEC3PARAM && !signsType(r, dns.TypeNSEC3PARAM) },
			want: []string{"it has signatures, but no NSEC or NSEC3 records"}},
		{what: "one NSEC", zone: nsec, keep: func(o string, r RR) bool {
			return o != "ns1.abc.com." || r.Type != dns.TypeNSEC && !signsType(r, dns.TypeNSEC)
		},
			want: []string{"the chain of NSEC records is broken in 1 places", "ns1.abc.com. has no NSEC record"}},
		{what: "expired", zone: nsec3, keep: all, after: 40 * 24 * time.Hour,
			want: []string{"abc.com. SOA: its signature of algorithm 13 (ECDSAP256SHA256) expired at 2026-03-", "expired", "expired", "expired", "expired", "more faults"}},
		{what: "too early", zone: nsec3, keep: all, after: -40 * 24 * time.Hour,
			want: []string{"abc.com. SOA: its signature of algorithm 13 (ECDSAP256SHA256) does not count before 2026-0", "not count", "not count", "not count", "not count", "more faults"}},
	} {
		z := without(t, c.zone, c.keep)
		p, ok := z.Presigned(signTime.Add(c.after))
		if !ok {
			t.Errorf("%s: it does not come signed", c.what)
			continue
		}
		good := len(p.Faults) == len(c.want)
		for i := range c.want {
			good = good && strings.Contains(p.Faults[i], c.want[i])
		}
		if !good {
			t.Errorf("%s: %q, want %q", c.what, p.Faults, c.want)
		}
		if c.want == nil && (p.Expires.Sub(signTime) < 24*time.Hour || p.Changes.Sub(p.Expires) > time.Second || !p.Changes.After(signTime)) {
			t.Errorf("%s: expires %v, changes %v", c.what, p.Expires, p.Changes)
		}
	}
	if _, ok := read(t, "abc.com.", presignedRecords).Presigned(signTime); ok {
		t.Error("a zone that is not signed comes signed")
	}
}

// Zones that other signers made whole are found to be so: dnssec-signzone's.
func TestPresignedByOthers(t *testing.T) {
	for _, kind := range []string{"nsec", "nsec3", "optout", "salt"} {
		data, err := os.ReadFile(filepath.Join("testdata", kind+".zone"))
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := read(t, "signed.example.", string(data)).Presigned(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)); !ok || len(p.Faults) > 0 || p.Expires.Year() < 2027 {
			t.Errorf("%s: %v, %q, expires %v", kind, ok, p.Faults, p.Expires)
		}
	}
}
