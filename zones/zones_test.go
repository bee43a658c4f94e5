package zones

import (
	"fmt"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

const exampleZone = `$TTL 300
@        IN SOA ns1 hostmaster 7 7200 900 1209600 60
         NS  ns1
         NS  ns2.other.example.
         MX  10 mail
ns1      A   192.0.2.53
         AAAA 2001:db8::53
mail     A   192.0.2.25
a.www    A   192.0.2.10
         AAAA 2001:db8::10
b.www    A   192.0.2.20
alias    CNAME a.www
far      CNAME www.elsewhere.example.
toward   CNAME www
loop1    CNAME loop2
loop2    CNAME loop1
deadend  CNAME nothere
*.wild   A   192.0.2.99
*.wild   TXT "w"
host.sub.wild A 192.0.2.98
x.ent.y  A   192.0.2.97
sub      NS  ns.sub
         NS  ns1
ns.sub   A   192.0.2.54
below.sub TXT "occluded"
*.sub    A   192.0.2.55
old      DNAME new
x.new    A   192.0.2.96
raw      TYPE65280 \# 3 abcdef
caa      CAA 0 issue "ca.example"
`

func read(t testing.TB, name, text string) *Zone {
	t.Helper()
	z, err := Read(Config{Name: name, File: name + "zone"}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func example(t testing.TB) *DB {
	t.Helper()
	db, err := Build([]*Zone{read(t, "abc.com.", exampleZone)},
		[]SteeredConfig{
			{Name: "www.abc.com.", Form: CNAME, TTL: 30 * time.Second, Sites: []int{0, 1}},
			{Name: "app.abc.com.", Form: Address, TTL: 30 * time.Second, Sites: []int{0, 1}},
		},
		[]Site{
			{Name: "kt", CNAME: "a.www.abc.com.", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")}},
			{Name: "lgu", CNAME: "b.www.abc.com.", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.20")}},
		})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// show gives a result as one line for each section, short enough for a table.
func show(r *Result) string {
	var b strings.Builder
	fmt.Fprint(&b, r.Outcome)
	section := func(mark string, records []Record) {
		for _, rec := range records {
			owner := "@"
			if rec.Owner != nil {
				owner = dnsname.Format(rec.Owner)
			}
			fmt.Fprintf(&b, " %s%s/%s/%d", mark, owner, dns.Type(rec.Set.Type), rec.Set.Count)
		}
	}
	section("", r.Answer)
	section("ns:", r.Authority)
	var additional []Record
	for i := range r.Additional.Len() {
		additional = append(additional, r.Additional.At(i))
	}
	section("ar:", additional)
	return b.String()
}

func TestLookup(t *testing.T) {
	db := example(t)
	const soa = " ns:abc.com./SOA/1"
	const glue = " ns:sub.abc.com./NS/2 ar:ns.sub.abc.com./A/1 ar:ns1.abc.com./A/1 ar:ns1.abc.com./AAAA/1"
	for _, c := range []struct{ name, qtype, want string }{
		{"abc.com.", "SOA", "answer @/SOA/1"},
		{"abc.com.", "NS", "answer @/NS/2 ar:ns1.abc.com./A/1 ar:ns1.abc.com./AAAA/1"},
		{"abc.com.", "MX", "answer @/MX/1 ar:mail.abc.com./A/1"},
		{"abc.com.", "A", "no data" + soa},
		{"abc.com.", "DS", "no data" + soa},
		{"com.", "A", "refused"},
		{".", "NS", "refused"},
		{"xabc.com.", "A", "refused"},
		{"a.www.abc.com.", "A", "answer @/A/1"},
		{"alias.abc.com.", "A", "answer @/CNAME/1 a.www.abc.com./A/1"},
		{"alias.abc.com.", "CNAME", "answer @/CNAME/1"},
		{"alias.abc.com.", "TXT", "answer @/CNAME/1" + soa},
		{"alias.abc.com.", "ANY", "answer @/CNAME/1"},
		{"mail.abc.com.", "ANY", "answer @/HINFO/1"},
		{"ent.y.abc.com.", "ANY", "no data" + soa},
		{"far.abc.com.", "A", "answer @/CNAME/1"},
		{"toward.abc.com.", "A", "answer @/CNAME/1"}, // only the first CNAME is tailored
		{"loop1.abc.com.", "A", "answer @/CNAME/1 loop2.abc.com./CNAME/1"},
		{"deadend.abc.com.", "A", "nxdomain @/CNAME/1" + soa}, // RFC 6604
		{"nothere.abc.com.", "A", "nxdomain" + soa},
		{"foo.wild.abc.com.", "A", "answer @/A/1"},
		{"foo.bar.wild.abc.com.", "A", "answer @/A/1"},
		{"foo.wild.abc.com.", "AAAA", "no data" + soa},
		{"*.wild.abc.com.", "A", "answer @/A/1"},
		{"wild.abc.com.", "A", "no data" + soa},          // an empty non-terminal
		{"sub.wild.abc.com.", "A", "no data" + soa},      // one below a wildcard blocks it
		{"foo.sub.wild.abc.com.", "A", "nxdomain" + soa}, // and is the closest encloser: RFC 4592, section 3.3.1
		{"host.sub.wild.abc.com.", "TXT", "no data" + soa},
		{"y.abc.com.", "A", "no data" + soa},
		{"ent.y.abc.com.", "A", "no data" + soa},
		{"sub.abc.com.", "A", "referral" + glue},
		{"sub.abc.com.", "NS", "referral" + glue},
		{"sub.abc.com.", "DS", "no data" + soa}, // the parent's side of the cut
		{"ns.sub.abc.com.", "A", "referral" + glue},
		{"below.sub.abc.com.", "TXT", "referral" + glue},
		{"deep.er.sub.abc.com.", "A", "referral" + glue},
		{"old.abc.com.", "DNAME", "answer @/DNAME/1"},
		{"old.abc.com.", "A", "no data" + soa}, // a DNAME does not redirect its own name
		{"x.old.abc.com.", "A", "answer old.abc.com./DNAME/1 @/CNAME/1 x.new.abc.com./A/1"},
		{"q.old.abc.com.", "A", "nxdomain old.abc.com./DNAME/1 @/CNAME/1" + soa},
		{"raw.abc.com.", "TYPE65280", "answer @/TYPE65280/1"}, // RFC 3597
		{"www.abc.com.", "A", "tailored"},
		{"www.abc.com.", "TXT", "tailored"},
		{"app.abc.com.", "AAAA", "tailored"},
		{"app.abc.com.", "TXT", "no data" + soa},
		{"c.www.abc.com.", "A", "nxdomain" + soa},
	} {
		t.Run(c.name+" "+c.qtype, func(t *testing.T) {
			var r Result
			if got := lookup(t, db, c.name, c.qtype, &r); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func named(t testing.TB, wire []byte) *Name {
	t.Helper()
	n := new(Name)
	if n.Set(wire) != len(wire) {
		t.Fatalf("%x is not a name", wire)
	}
	return n
}

func lookup(t testing.TB, db *DB, name, qtype string, r *Result) string {
	t.Helper()
	wire, err := dnsname.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	typ, ok := dns.StringToType[qtype]
	if !ok {
		fmt.Sscanf(qtype, "TYPE%d", &typ)
	}
	db.Lookup(named(t, wire), typ, false, r)
	return show(r)
}

func TestTailor(t *testing.T) {
	db := example(t)
	const soa = " ns:abc.com./SOA/1"
	for _, c := range []struct {
		name, qtype string
		site        int
		want        string
	}{
		{"www.abc.com.", "A", 0, "answer @/CNAME/1 a.www.abc.com./A/1"},
		{"www.abc.com.", "AAAA", 0, "answer @/CNAME/1 a.www.abc.com./AAAA/1"},
		{"www.abc.com.", "A", 1, "answer @/CNAME/1 b.www.abc.com./A/1"},
		{"www.abc.com.", "AAAA", 1, "answer @/CNAME/1" + soa},
		{"www.abc.com.", "CNAME", 1, "answer @/CNAME/1"},
		{"www.abc.com.", "ANY", 1, "answer @/CNAME/1"},
		{"app.abc.com.", "A", 0, "answer @/A/1"},
		{"app.abc.com.", "AAAA", 1, "no data" + soa}, // the site has none: never another site's
		{"app.abc.com.", "A", 9, "no data" + soa},
	} {
		var r Result
		lookup(t, db, c.name, c.qtype, &r)
		db.Tailor(&r, dns.StringToType[c.qtype], c.site)
		if got := show(&r); got != c.want {
			t.Errorf("%s %s at site %d:\ngot  %s\nwant %s", c.name, c.qtype, c.site, got, c.want)
		}
	}
}

func TestNegativeTTL(t *testing.T) {
	for _, c := range []struct{ ttl, minimum, want uint32 }{{300, 60, 60}, {30, 60, 30}} {
		z := read(t, "a.example.", fmt.Sprintf("@ %d IN SOA n h 1 2 3 4 %d\n@ 300 NS n.other.\n", c.ttl, c.minimum))
		db, _ := Build([]*Zone{z}, nil, nil)
		var r Result
		lookup(t, db, "nothere.a.example.", "A", &r)
		if got := r.Authority[0].Set.TTL(); got != c.want { // RFC 2308, section 3
			t.Errorf("SOA TTL %d and MINIMUM %d: negative TTL %d, want %d", c.ttl, c.minimum, got, c.want)
		}
	}
}

// A child zone that is served here answers for itself, its parent for DS.
func TestParentAndChild(t *testing.T) {
	parent := read(t, "example.", "@ 60 SOA n h 1 2 3 4 5\n@ 60 NS n.other.\nkid 60 NS n.kid\nn.kid 60 A 192.0.2.1\nkid 60 DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000\n")
	child := read(t, "kid.example.", "@ 60 SOA n h 1 2 3 4 5\n@ 60 NS n\nn 60 A 192.0.2.2\n")
	db, err := Build([]*Zone{parent, child}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	for _, c := range []struct{ name, qtype, want, zone string }{
		{"kid.example.", "NS", "answer @/NS/1 ar:n.kid.example./A/1", "kid.example."},
		{"n.kid.example.", "A", "answer @/A/1", "kid.example."},
		{"kid.example.", "DS", "answer @/DS/1", "example."},
		{"x.kid.example.", "A", "nxdomain ns:kid.example./SOA/1", "kid.example."},
	} {
		if got := lookup(t, db, c.name, c.qtype, &r); got != c.want || r.Zone.Name != c.zone {
			t.Errorf("%s %s: %s from %s, want %s from %s", c.name, c.qtype, got, r.Zone.Name, c.want, c.zone)
		}
	}
}

func TestIncludeAndGenerate(t *testing.T) {
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "inc"), 0o755)
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	write("inc/hosts", "h1 A 192.0.2.1\n")
	file := write("zone", "$TTL 60\n@ SOA n h 1 2 3 4 5\n@ NS n.other.\n$INCLUDE inc/hosts\n$GENERATE 1-3 g$ A 192.0.2.$\n")
	z, err := ReadFile(Config{Name: "abc.com.", File: file})
	if err != nil {
		t.Fatal(err)
	}
	db, _ := Build([]*Zone{z}, nil, nil)
	var r Result
	for _, n := range []string{"h1", "g1", "g3"} {
		if got := lookup(t, db, n+".abc.com.", "A", &r); got != "answer @/A/1" {
			t.Errorf("%s: %s", n, got)
		}
	}
}

func TestBadZones(t *testing.T) {
	const head = "$TTL 60\n@ SOA n h 1 2 3 4 5\n@ NS n.other.\n"
	for _, c := range []struct{ name, text, want string }{
		{"no owner", " A 192.0.2.1\n", "z:"},
		{"no SOA", "@ 60 NS n.other.\n", "z: no SOA record at abc.com."},
		{"empty", "", "z: no SOA record"},
		{"no NS", "@ 60 SOA n h 1 2 3 4 5\n", "z: no NS record at abc.com."},
		{"two SOA", head + "@ SOA n h 9 2 3 4 5\n", "2 different SOA records"},
		{"SOA below", head + "x SOA n h 9 2 3 4 5\n", "x.abc.com. has an SOA record below the apex"},
		{"CNAME and A", head + "x CNAME y\nx A 192.0.2.1\n", "x.abc.com. has a CNAME and also A"},
		{"two CNAMEs", head + "x CNAME y\nx CNAME z\n", "x.abc.com. has 2 CNAME records"},
		{"outside", head + "x.other. A 192.0.2.1\n", "z:4: x.other. is not in the zone abc.com."},
		{"class", head + "x CH TXT a\n", "class"},
		{"syntax", head + "x A 192.0.2.300\n", `z:4:5: x.abc.com. A: address "192.0.2.300" is not an IPv4 address`},
		{"type", head + "x WHAT 1\n", "z:4:"},
		{"below DNAME", head + "d DNAME e\nx.d A 192.0.2.1\n", "x.d.abc.com. stands below the DNAME at d.abc.com."},
		{"include", head + "$INCLUDE nothere\n", "nothere"},
		{"long label", head + strings.Repeat("a", 64) + " A 192.0.2.1\n", "z:4:"},
		{"short A", head + "x A \\# 0\n", "z:4: x.abc.com. A has data that is not one of its type"},
		{"short MX", head + "x TYPE15 \\# 2 000a\n", "z:4: x.abc.com. MX has data"},
		{"empty CNAME", head + "x TYPE5 \\# 0\n", "z:4: x.abc.com. CNAME has data"},
		{"short MINFO", head + "x MINFO \\# 1 00\n", "MINFO has data"},
		{"empty NS", head + "x TYPE2 \\# 0\n", "NS has data"},
		{"meta type", head + "x TYPE255 \\# 0\n", "cannot stand in a zone"},
		{"OPT", head + "x TYPE41 \\# 0\n", "cannot stand in a zone"},
		{"wildcard NS", head + "*.x NS n.other.\n", "*.x.abc.com. has NS records: a wildcard cannot be delegated"},
		{"unclosed", head + "x TXT ( \"a\"\n", "z:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(Config{Name: "abc.com.", File: "z"}, strings.NewReader(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "zone abc.com.") {
				t.Errorf("error %v\nwant one with %q", err, c.want)
			}
		})
	}
}

func TestBadSteered(t *testing.T) {
	sites := []Site{{Name: "kt", CNAME: "a.www.abc.com.", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}}, {Name: "bare"}}
	for _, c := range []struct {
		cfg  SteeredConfig
		want string
	}{
		{SteeredConfig{Name: "www.other.", TTL: time.Second}, "none of the zones"},
		{SteeredConfig{Name: "mail.abc.com.", TTL: time.Second}, "has A records in abc.com.zone: in CNAME form nothing else"},
		{SteeredConfig{Name: "mail.abc.com.", Form: Address, TTL: time.Second}, "has A records in abc.com.zone also"},
		{SteeredConfig{Name: "x.sub.abc.com.", TTL: time.Second}, "delegated away"},
		{SteeredConfig{Name: "a.www.abc.com.", TTL: time.Second}, "has A records"},
		{SteeredConfig{Name: "n.abc.com.", TTL: time.Second, Sites: []int{1}}, "site bare, whose cname is missing"},
		{SteeredConfig{Name: "n.abc.com.", Form: Address, TTL: time.Second, Sites: []int{1}}, "site bare, which has no addresses"},
		{SteeredConfig{Name: "n.abc.com."}, "at least 1s"},
		{SteeredConfig{Name: "x.old.abc.com.", TTL: time.Second, Sites: []int{0}}, "below the DNAME"},
	} {
		_, err := Build([]*Zone{read(t, "abc.com.", exampleZone)}, []SteeredConfig{c.cfg}, sites)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.cfg.Name, err, c.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	z := read(t, "abc.com.", "$TTL 60\n@ SOA n h 1 2 3 4 5\n@ NS ns1\nsub NS ns.sub\nx 60 A 192.0.2.1\nx 90 A 192.0.2.2\n$GENERATE 1-3300 much TXT abcdef$\n$GENERATE 1-2500 some TXT abcdef$\n")
	db, err := Build([]*Zone{z}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(db.Warnings(), "\n")
	for _, want := range []string{"name server ns1.abc.com. of abc.com. has no address", "delegation of sub.abc.com. has no glue for ns.sub.abc.com.", "abc.com.zone:6: x.abc.com. A has TTLs 60 and 90", "abc.com.zone:7: much.abc.com. has 3300 TXT records, of "} {
		if !strings.Contains(all, want) {
			t.Errorf("warnings %q\nwant %q among them", all, want)
		}
	}
	if strings.Contains(all, "some.abc.com.") {
		t.Errorf("warnings %q: of records that have room in a message", all)
	}
}

// Hints would send clients of a steered name elsewhere than its addresses do.
func TestHintsOfSteeredNames(t *testing.T) {
	z := read(t, "abc.com.", `$TTL 60
@     SOA n h 1 2 3 4 5
@     NS  n.other.
app   HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1
svc   SVCB  1 x.other. port=53 ipv6hint=2001:db8::1
plain HTTPS 1 . alpn=h2,h3 port=8443
alias HTTPS 0 x.other.
short TYPE65 \# 3 000100
not   HTTPS 1 . ipv4hint=192.0.2.1
`)
	sites := []Site{{Name: "kt", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}}}
	var steered []SteeredConfig
	for _, n := range []string{"app", "svc", "plain", "alias", "short"} {
		steered = append(steered, SteeredConfig{Name: n + ".abc.com.", Form: Address, TTL: time.Second, Sites: []int{0}})
	}
	db, err := Build([]*Zone{z}, steered, sites)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(db.Warnings(), "\n")
	for name, want := range map[string]bool{"app": true, "svc": true, "plain": false, "alias": false, "short": false, "not": false} {
		if got := strings.Contains(all, name+".abc.com. is steered"); got != want {
			t.Errorf("warned of %s: %v, want %v\n%s", name, got, want, all)
		}
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	db := example(t)
	var r Result
	for _, name := range []string{"a.www.abc.com.", "alias.abc.com.", "x.old.abc.com.", "random.abc.com.", "foo.wild.abc.com.", "x.sub.abc.com.", "other."} {
		wire, _ := dnsname.Parse(name)
		n := new(Name)
		if n := testing.AllocsPerRun(100, func() { n.Set(wire); db.Lookup(n, dns.TypeA, false, &r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	wire, _ := dnsname.Parse("www.abc.com.")
	name := named(t, wire)
	if n := testing.AllocsPerRun(100, func() { db.Lookup(name, dns.TypeA, false, &r); db.Tailor(&r, dns.TypeA, 0) }); n != 0 {
		t.Errorf("steered: %v allocations", n)
	}
}

// nodes lists the nodes in the order in which they lie in the arena.
func (z *Zone) nodes() []node {
	var all []node
	for _, s := range z.index {
		if s != 0 {
			all = append(all, node(s))
		}
	}
	for _, s := range z.small {
		if s != 0 {
			all = append(all, node(s&^smallTag))
		}
	}
	slices.Sort(all)
	return all
}

// all gives every RRset of a zone with its owner name.
func (z *Zone) all() iter.Seq2[[]byte, RRset] {
	return func(yield func([]byte, RRset) bool) {
		for _, n := range z.nodes() {
			count, at := z.arena.sets(n)
			for range count {
				var s RRset
				if s, _, at = z.arena.set(at); !yield(z.arena.owner(n), s) {
					return
				}
			}
		}
	}
}

// Every type that the library knows can be read, packed and found.
func TestEveryType(t *testing.T) {
	db, err := Load([]Config{{Name: "types.example.", File: "testdata/types.zone"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for owner, s := range db.Zones()[0].all() {
		var r Result
		db.Lookup(named(t, owner), s.Type, false, &r)
		if s.Type != dns.TypeNS && (r.Outcome != Answer || len(r.Answer) == 0 || !r.Answer[0].Set.same(s)) {
			t.Errorf("%s %s: %s", dnsname.Format(owner), dns.Type(s.Type), show(&r))
		}
		n++
	}
	if n < 60 {
		t.Errorf("only %d RRsets in the file", n)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(exampleZone)
	f.Add("$TTL 60\n@ SOA n h 1 2 3 4 5\n@ NS n.other.\n$GENERATE 1-3 g$ A 192.0.2.$\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "INCLUDE") || strings.Contains(text, "GENERATE") {
			return // files of the machine, and as many records as asked for
		}
		z, err := Read(Config{Name: "abc.com.", File: "f"}, strings.NewReader(text))
		if err != nil {
			return
		}
		db, err := Build([]*Zone{z}, nil, nil)
		if err != nil {
			return
		}
		var r Result
		for owner, s := range z.all() {
			db.Lookup(named(t, owner), s.Type, false, &r)
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	db := example(b)
	var r Result
	for _, name := range []string{"a.www.abc.com.", "random.abc.com.", "alias.abc.com."} {
		wire, _ := dnsname.Parse(name)
		var n Name
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n.Set(wire)
				db.Lookup(&n, dns.TypeA, false, &r)
			}
		})
	}
}

// A name of 127 labels is the longest in labels that 255 octets hold.
func TestManyLabels(t *testing.T) {
	deep := strings.Repeat("a.", 123)
	z := read(t, "abc.com.", "$TTL 60\n@ SOA n h 1 2 3 4 5\n@ NS n.other.\n*.wild A 192.0.2.1\nto CNAME "+deep+"abc.com.\n")
	db, err := Build([]*Zone{z}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	for name, want := range map[string]string{
		strings.Repeat("a.", 127):                   "refused",
		deep + "abc.com.":                           "nxdomain ns:abc.com./SOA/1",
		strings.Repeat("a.", 120) + "wild.abc.com.": "answer @/A/1",
		"to.abc.com.":                               "nxdomain @/CNAME/1 ns:abc.com./SOA/1",
	} {
		if got := lookup(t, db, name, "A", &r); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// What a set and an answer hold, they hold once.
func TestNothingTwice(t *testing.T) {
	z := read(t, "abc.com.", `$TTL 60
@ SOA n h 1 2 3 4 5
@ NS n.other.
sub NS ns.sub
sub NS NS.SUB
ns.sub A 192.0.2.1
mail A 192.0.2.2
x MX 10 mail
x MX 20 mail
dn DNAME target
back.target CNAME www.dn
www.target A 192.0.2.3
l1 DNAME l2
l2 DNAME l1
`)
	db, err := Build([]*Zone{z}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	for _, c := range []struct{ name, qtype, want string }{
		{"sub.abc.com.", "A", "referral ns:sub.abc.com./NS/1 ar:ns.sub.abc.com./A/1"},
		{"x.abc.com.", "MX", "answer @/MX/2 ar:mail.abc.com./A/1"},
		{"back.dn.abc.com.", "A", "answer dn.abc.com./DNAME/1 @/CNAME/1 back.target.abc.com./CNAME/1 www.dn.abc.com./CNAME/1 www.target.abc.com./A/1"},
		{"x.l1.abc.com.", "A", "answer l1.abc.com./DNAME/1 @/CNAME/1 l2.abc.com./DNAME/1 x.l2.abc.com./CNAME/1"},
	} {
		if got := lookup(t, db, c.name, c.qtype, &r); got != c.want {
			t.Errorf("%s %s:\ngot  %s\nwant %s", c.name, c.qtype, got, c.want)
		}
	}
}

// A chain of aliases that ends at a delegation points there: RFC 1034, section 4.3.2, step 3b.
func TestChainToDelegation(t *testing.T) {
	z := read(t, "abc.com.", "$TTL 60\n@ SOA n h 1 2 3 4 5\n@ NS n.other.\nto CNAME x.sub\nsub NS ns.sub\nns.sub A 192.0.2.1\n")
	db, err := Build([]*Zone{z}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	got := lookup(t, db, "to.abc.com.", "A", &r)
	if want := "answer @/CNAME/1 ns:sub.abc.com./NS/1 ar:ns.sub.abc.com./A/1"; got != want || !r.Authoritative || r.Required != 0 {
		t.Errorf("%s (authoritative %v, required %d), want %s", got, r.Authoritative, r.Required, want)
	}
}

// DS at an apex whose parent is delegated to others is answered by the child:
// RFC 4035, section 3.1.4.1.
func TestDSBelowForeignCut(t *testing.T) {
	top := read(t, "example.", "@ 60 SOA n h 1 2 3 4 5\n@ 60 NS n.other.\ngp 60 NS n.other.\n")
	child := read(t, "g.gp.example.", "@ 60 SOA n h 1 2 3 4 5\n@ 60 NS n.other.\n")
	db, err := Build([]*Zone{top, child}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	if got := lookup(t, db, "g.gp.example.", "DS", &r); got != "no data ns:g.gp.example./SOA/1" {
		t.Error(got)
	}
}
