package zones

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"net/netip"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// oracle is RFC 1034, section 4.3.2 with RFC 4592 as plainly as it can be said,
// over maps of names in presentation form. It answers one query, without aliases.
type oracle struct {
	apexes  []string
	sets    map[string]map[string]map[uint16]int // zone, name, type: number of records
	steered map[string]bool
}

// lookup gives the outcome and the RRset that a query leads to.
func (o *oracle) lookup(name string, qtype uint16) string {
	apex := o.apex(name)
	if apex == "" {
		return "refused"
	}
	zone := o.sets[apex]
	exists := func(n string) bool {
		for owner := range o.steered {
			if dns.IsSubDomain(n, owner) && o.apex(owner) == apex {
				return true
			}
		}
		for owner := range zone {
			if dns.IsSubDomain(n, owner) {
				return true
			}
		}
		return false
	}
	up := parents(name, apex) // from the apex down to the name
	for _, n := range up[1:] {
		if zone[n][dns.TypeNS] > 0 && !(n == name && qtype == dns.TypeDS) {
			return fmt.Sprintf("referral %s %d", n, zone[n][dns.TypeNS])
		}
	}
	owner := name
	if !exists(name) {
		closest := apex
		for _, n := range up {
			if exists(n) {
				closest = n
			}
		}
		if zone[closest][dns.TypeDNAME] > 0 {
			return "dname " + closest
		}
		if owner = "*." + closest; !exists(owner) {
			return "nxdomain"
		}
	}
	sets := zone[owner]
	switch {
	case o.steered[owner] && (qtype == dns.TypeA || qtype == dns.TypeAAAA):
		return "tailored"
	case sets[dns.TypeCNAME] > 0:
		return "cname"
	case sets[qtype] > 0:
		return fmt.Sprintf("answer %d", sets[qtype])
	}
	return "no data"
}

// apex is that of the zone which a name lies in.
func (o *oracle) apex(name string) (longest string) {
	for _, a := range o.apexes {
		if dns.IsSubDomain(a, name) && len(a) > len(longest) {
			longest = a
		}
	}
	return longest
}

// parents are a name and those above it, from the apex down.
func parents(name, apex string) []string {
	list := []string{name}
	for name != apex {
		off, _ := dns.NextLabel(name, 0)
		name = name[off:]
		list = append(list, name)
	}
	slices.Reverse(list)
	return list
}

// seen is what Lookup says in the oracle's words.
func seen(r *Result) string {
	switch {
	case r.Outcome == Referral:
		return fmt.Sprintf("referral %s %d", strings.ToLower(dnsname.Format(r.Authority[0].Owner)), r.Authority[0].Set.Count)
	case len(r.Answer) > 0 && r.Answer[0].Set.Type == dns.TypeDNAME && r.Answer[0].Owner != nil:
		return "dname " + strings.ToLower(dnsname.Format(r.Answer[0].Owner))
	case len(r.Answer) > 0 && r.Answer[0].Set.Type == dns.TypeCNAME:
		return "cname"
	case r.Outcome == Answer:
		return fmt.Sprintf("answer %d", r.Answer[0].Set.Count)
	}
	return r.Outcome.String()
}

// Zones of random names give what the oracle says, for names that exist, names
// near them and letters of either case.
func TestLookupAgainstOracle(t *testing.T) {
	labels := []string{"a", "b", "C", "*", "a-label-of-more-than-sixteen-octets", "dd", "e"}
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeNS, dns.TypeCNAME, dns.TypeDNAME, dns.TypeMX, dns.TypeDS}
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 1))
		random := func(below string) string {
			n := below
			for range 1 + rng.IntN(4) {
				n = labels[rng.IntN(len(labels))] + "." + n
			}
			return n
		}
		o := &oracle{sets: map[string]map[string]map[uint16]int{}, steered: map[string]bool{}}
		var zs []*Zone
		for _, apex := range []string{"example.", "b.a.example.", "net."} {
			text := "$TTL 60\n@ SOA n h 1 2 3 4 5\n@ NS n.other.\n"
			sets := map[string]map[uint16]int{apex: {dns.TypeSOA: 1, dns.TypeNS: 1}}
			below := func(n string) bool { // a DNAME is in the way
				for _, p := range parents(n, apex) {
					if p != n && sets[p][dns.TypeDNAME] > 0 {
						return true
					}
				}
				return false
			}
			for range rng.IntN(40) {
				written := random(apex)
				n, rrtype := strings.ToLower(written), types[rng.IntN(len(types))]
				if len(sets[n]) > 0 && (sets[n][dns.TypeCNAME] > 0 || rrtype == dns.TypeCNAME || rrtype == dns.TypeDNAME) || below(n) || rrtype == dns.TypeNS && strings.HasPrefix(n, "*") {
					continue
				}
				if rrtype == dns.TypeDNAME && slices.ContainsFunc(slices.Collect(maps.Keys(sets)), func(s string) bool { return s != n && dns.IsSubDomain(n, s) }) {
					continue
				}
				if sets[n] == nil {
					sets[n] = map[uint16]int{}
				}
				i := sets[n][rrtype]
				data := map[uint16]string{dns.TypeA: fmt.Sprintf("192.0.2.%d", i), dns.TypeAAAA: fmt.Sprintf("2001:db8::%d", i), dns.TypeTXT: fmt.Sprint("t", i), dns.TypeMX: fmt.Sprint(i, " a"),
					dns.TypeNS: fmt.Sprintf("n%d.%s", i, n), dns.TypeCNAME: "outside.", dns.TypeDNAME: "outside.", dns.TypeDS: fmt.Sprintf("%d 13 2 %064d", i, 0)}[rrtype]
				text += fmt.Sprintf("%s %s %s\n", written, dns.Type(rrtype), data)
				sets[n][rrtype]++
			}
			z, err := Read(Config{Name: apex, File: "f"}, strings.NewReader(text))
			if err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, text)
			}
			zs = append(zs, z)
			o.apexes, o.sets[apex] = append(o.apexes, apex), sets
		}
		db, err := Build(zs, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var cfgs []SteeredConfig
		site := Site{Name: "s", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
		for range rng.IntN(8) {
			c := SteeredConfig{Name: strings.ToLower(random([]string{"example.", "b.a.example.", "net."}[rng.IntN(3)])), Form: Address, TTL: time.Second, Sites: []int{0}}
			if with, err := Build(zs, append(cfgs, c), []Site{site}); err == nil {
				db, cfgs = with, append(cfgs, c)
				o.steered[c.Name] = true
			}
		}
		var r Result
		for range 400 {
			name := random([]string{"example.", "b.a.example.", "net.", "other."}[rng.IntN(4)])
			qtype := types[rng.IntN(len(types))]
			if qtype == dns.TypeDS && slices.Contains(o.apexes, strings.ToLower(name)) {
				continue // TestParentAndChild
			}
			lookup(t, db, name, dns.Type(qtype).String(), &r)
			if got, want := seen(&r), o.lookup(strings.ToLower(name), qtype); got != want {
				t.Fatalf("seed %d: %s %s: %s, want %s\nsteered %v\nzones %v", seed, name, dns.Type(qtype), got, want, o.steered, o.sets)
			}
		}
	}
}
