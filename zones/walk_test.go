package zones

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

const movingZone = `$TTL 300
@ IN SOA ns.x. h.x. 7 3600 600 86400 60
@ IN NS ns
ns IN A 192.0.2.1
Www.deep IN TXT "a" "b"
* IN MX 10 mail.x.
sub IN NS ns.sub
ns.sub IN AAAA 2001:db8::1
`

func readZone(t testing.TB, text string) *Zone {
	t.Helper()
	z, err := Read(Config{Name: "x.", File: "x.zone"}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// lines writes all records of a zone, sorted.
func lines(z *Zone) (all []string) {
	for owner, set := range z.Walk() {
		for r := range set.Of(owner) {
			all = append(all, fmt.Sprintf("%s %d %s %x", dnsname.Format(r.Owner), r.TTL, dns.Type(r.Type), r.Data))
		}
	}
	slices.Sort(all)
	return all
}

func records(z *Zone) func(yield func(RR) bool) {
	return func(yield func(RR) bool) {
		for owner, set := range z.Walk() {
			for r := range set.Of(owner) {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// TestWalkAndMake: a zone made of another's records is the same zone.
func TestWalkAndMake(t *testing.T) {
	z := readZone(t, movingZone)
	if got := len(lines(z)); got != 7 {
		t.Fatalf("%d records: %v", got, lines(z))
	}
	again, err := Make("x.", "memory", records(z))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(lines(z), lines(again)) || again.Serial != 7 || again.names != z.names {
		t.Errorf("made again:\n%v\n%v", lines(z), lines(again))
	}
	for owner := range z.Walk() {
		if n := z.named(owner); n == 0 {
			t.Errorf("%s is not found", dnsname.Format(owner))
		}
	}
}

func TestMakeRefuses(t *testing.T) {
	soa := RR{[]byte("\x01x\x00"), dns.TypeSOA, 1, append([]byte("\x00\x00"), make([]byte, 20)...)}
	ns := RR{soa.Owner, dns.TypeNS, 1, []byte("\x00")}
	for what, bad := range map[string]RR{
		"data":       {soa.Owner, dns.TypeA, 1, []byte{1, 2, 3}},
		"name":       {[]byte("\x01x"), dns.TypeA, 1, []byte{1, 2, 3, 4}},
		"OPT":        {soa.Owner, dns.TypeOPT, 1, nil},
		"ANY":        {soa.Owner, dns.TypeANY, 1, nil},
		"TTL":        {soa.Owner, dns.TypeA, 1 << 31, []byte{1, 2, 3, 4}},
		"other zone": {[]byte("\x01y\x00"), dns.TypeA, 1, []byte{1, 2, 3, 4}},
		"CNAME":      {soa.Owner, dns.TypeCNAME, 1, []byte{0}},
		"second SOA": {soa.Owner, dns.TypeSOA, 1, append([]byte("\x00\x00"), make([]byte, 19)...)},
	} {
		if _, err := Make("x.", "memory", slices.Values([]RR{soa, ns, bad})); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := Make("x.", "memory", slices.Values([]RR{soa, ns})); err != nil {
		t.Error(err)
	}
}

func TestDiff(t *testing.T) {
	old := readZone(t, movingZone)
	next := readZone(t, strings.NewReplacer("7 3600", "8 3600", "192.0.2.1", "192.0.2.2", "ns.sub IN AAAA 2001:db8::1\n", "", `"a" "b"`, "\"a\" \"b\"\n IN TXT \"c\"").Replace(movingZone))
	removed, added := old.Diff(next)
	set := map[string]int{}
	for _, l := range lines(old) {
		set[l]++
	}
	line := func(r RR) string {
		return fmt.Sprintf("%s %d %s %x", dnsname.Format(r.Owner), r.TTL, dns.Type(r.Type), r.Data)
	}
	for _, r := range removed {
		delete(set, line(r))
	}
	for _, r := range added {
		set[line(r)]++
	}
	if got := slices.Sorted(maps.Keys(set)); !slices.Equal(got, lines(next)) {
		t.Errorf("old with the difference:\n%v\nnew:\n%v", got, lines(next))
	}
	if len(removed) != 3 || len(added) != 3 {
		t.Errorf("%d removed, %d added", len(removed), len(added))
	}
	absent, err := Absent("x.", "")
	if err != nil {
		t.Fatal(err)
	}
	if removed, added = absent.Diff(next); len(removed) != 0 || len(added) != len(lines(next)) {
		t.Errorf("from nothing: %d removed, %d added", len(removed), len(added))
	}
}

// TestAbsent: a zone without records answers Failed, also for what a steered
// name leaves to it, and comes and goes by With.
func TestAbsent(t *testing.T) {
	absent, err := Absent("X.", "")
	if err != nil {
		t.Fatal(err)
	}
	steered := []SteeredConfig{{Name: "www.x.", Form: Address, TTL: 30 * time.Second, Sites: []int{0}}}
	sites := []Site{{Name: "a", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}}}
	db, err := Build([]*Zone{absent}, steered, sites)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(db *DB, name string, qtype uint16) Outcome {
		var n Name
		var r Result
		wire, _ := dnsname.Parse(name)
		n.Set(wire)
		db.Lookup(&n, qtype, false, &r)
		if r.Outcome == Tailored {
			db.Tailor(&r, qtype, 0)
		}
		return r.Outcome
	}
	expect := func(db *DB, name string, qtype uint16, want Outcome) {
		t.Helper()
		if got := ask(db, name, qtype); got != want {
			t.Errorf("%s %s: %v, want %v", name, dns.Type(qtype), got, want)
		}
	}
	expect(db, "x.", dns.TypeSOA, Failed)
	expect(db, "a.b.x.", dns.TypeA, Failed)
	expect(db, "www.x.", dns.TypeA, Answer)
	expect(db, "www.x.", dns.TypeAAAA, Failed)
	expect(db, "www.x.", dns.TypeTXT, Failed)
	expect(db, "y.", dns.TypeA, Refused)
	next, err := db.With([]*Zone{readZone(t, movingZone)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	expect(next, "x.", dns.TypeSOA, Answer)
	expect(next, "www.x.", dns.TypeAAAA, NoData)
	expect(db, "x.", dns.TypeSOA, Failed) // the old one stays as it was
	y, err := Absent("sub.x.", "")
	if err != nil {
		t.Fatal(err)
	}
	more, err := next.With([]*Zone{y}, nil)
	if err != nil {
		t.Fatal(err)
	}
	expect(more, "a.sub.x.", dns.TypeA, Failed)
	expect(next, "a.sub.x.", dns.TypeA, Referral)
	less, err := more.With(nil, []string{"sub.x."})
	if err != nil {
		t.Fatal(err)
	}
	expect(less, "a.sub.x.", dns.TypeA, Referral)
	if _, err := more.With(nil, []string{"x."}); err == nil {
		t.Error("the zone of a steered name is gone without an error")
	}
}
