package zones

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

const aliasZone = exampleZone + `
@         ALIAS www
          HTTPS 1 . alpn=h2
          TXT   "beside"
to        120 ALIAS a.www
long      ALIAS chain
chain     20 CNAME alias
dna       ALIAS x.old
wilda     ALIAS any.wild
addr      10 ALIAS app
*.star    ALIAS b.www
*.starred ALIAS app
nothing   ALIAS caa
toal      CNAME to
toapex    CNAME @
tostar    CNAME x.star
hint      ALIAS hinted
          HTTPS 1 . alpn=h2
          SVCB  1 other port=53
hinted    HTTPS 1 . alpn=h3
other     ALIAS sub.other.example.
`

// otherZone is beside it.
const otherZone = "$TTL 300\n@ SOA n h 1 2 3 4 5\n@ NS n\nn A 192.0.2.77\nsub 40 A 192.0.2.78\n"

var aliasSteered = []SteeredConfig{
	{Name: "www.abc.com.", Form: CNAME, TTL: 30 * time.Second, Policy: 1, Sites: []int{0, 1}},
	{Name: "app.abc.com.", Form: Address, TTL: 40 * time.Second, Policy: 2, Sites: []int{0, 1}},
	{Name: "hinted.abc.com.", Form: Address, TTL: 30 * time.Second, Sites: []int{0, 1}, Hints: true},
}

func aliases(t testing.TB, sites []Site) *DB {
	t.Helper()
	db, err := Build([]*Zone{read(t, "abc.com.", aliasZone), read(t, "other.example.", otherZone)}, aliasSteered, sites)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// An ALIAS record makes its owner answer with the target's addresses, each with
// the lower TTL, under the owner's name; the rest of the name is as ever.
func TestAlias(t *testing.T) {
	db := aliases(t, steeredSites)
	const soa = " ns:abc.com./SOA/1"
	for _, c := range []struct {
		name, qtype string
		site        int // -1: the answer is not tailored
		want, data  string
	}{
		{"abc.com.", "A", 0, "answer @/A/1", "30 192.0.2.10"}, // of a.www, to which www is a CNAME at this site
		{"abc.com.", "AAAA", 0, "answer @/AAAA/1", "30 2001:db8::10"},
		{"abc.com.", "A", 1, "answer @/A/1", "30 192.0.2.99"}, // of *.wild
		{"abc.com.", "AAAA", 1, "no data" + soa, ""},
		{"abc.com.", "SOA", -1, "answer @/SOA/1", ""},
		{"abc.com.", "NS", -1, "answer @/NS/2 ar:ns1.abc.com./A/1 ar:ns1.abc.com./AAAA/1", ""},
		{"abc.com.", "HTTPS", -1, "answer @/HTTPS/1", ""},
		{"abc.com.", "TXT", -1, "answer @/TXT/1", ""},
		{"abc.com.", "ALIAS", -1, "no data" + soa, ""},
		{"abc.com.", "CNAME", -1, "no data" + soa, ""},
		{"abc.com.", "ANY", -1, "answer @/HINFO/1", ""},
		{"to.abc.com.", "A", -1, "answer @/A/1", "120 192.0.2.10"},
		{"to.abc.com.", "AAAA", -1, "answer @/AAAA/1", "120 2001:db8::10"},
		{"to.abc.com.", "MX", -1, "no data" + soa, ""},
		{"to.abc.com.", "ANY", -1, "answer @/HINFO/1", ""},
		{"long.abc.com.", "A", -1, "answer @/A/1", "20 192.0.2.10"}, // the TTL of a CNAME on the way
		{"dna.abc.com.", "A", -1, "answer @/A/1", "300 192.0.2.96"},
		{"wilda.abc.com.", "A", -1, "answer @/A/1", "300 192.0.2.99"},
		{"wilda.abc.com.", "AAAA", -1, "no data" + soa, ""},
		{"addr.abc.com.", "A", 1, "answer @/A/1", "10 192.0.2.20"},
		{"x.star.abc.com.", "A", -1, "answer @/A/1", "300 192.0.2.20"},
		{"star.abc.com.", "A", -1, "no data" + soa, ""},
		{"x.y.starred.abc.com.", "A", 0, "answer @/A/1", "40 192.0.2.10"},
		{"nothing.abc.com.", "A", -1, "no data" + soa, ""},
		{"toal.abc.com.", "A", -1, "answer @/CNAME/1 to.abc.com./A/1", ""},
		{"tostar.abc.com.", "A", -1, "answer @/CNAME/1 x.star.abc.com./A/1", ""},
		{"toapex.abc.com.", "A", -1, "answer @/CNAME/1", ""}, // as before a steered name: the resolver asks for it
		{"hint.abc.com.", "A", 0, "answer @/A/1", "30 192.0.2.10"},
		{"hint.abc.com.", "HTTPS", 0, "answer @/HTTPS/1", `30 1 . alpn="h2" ipv4hint="192.0.2.10" ipv6hint="2001:db8::10"`},
		{"hint.abc.com.", "HTTPS", 1, "answer @/HTTPS/1", `30 1 . alpn="h2" ipv4hint="192.0.2.20"`},
		{"hint.abc.com.", "SVCB", -1, "answer @/SVCB/1", ""}, // of another name, which has no hints here
		{"other.abc.com.", "A", -1, "answer @/A/1", "40 192.0.2.78"},
	} {
		var r Result
		lookup(t, db, c.name, c.qtype, &r)
		qtype := dns.StringToType[c.qtype]
		if (r.Outcome == Tailored) != (c.site >= 0) {
			t.Errorf("%s %s: %s", c.name, c.qtype, show(&r))
			continue
		}
		if c.site >= 0 {
			db.Tailor(&r, qtype, c.site)
		}
		if got := strings.Replace(show(&r), " ar:a.www.abc.com./A/1", "", 1); got != c.want || r.Zone.Name != "abc.com." {
			t.Errorf("%s %s at site %d, of %s:\ngot  %s\nwant %s", c.name, c.qtype, c.site, r.Zone.Name, got, c.want)
		}
		if c.data != "" {
			if got := first(t, db, c.name, qtype, c.site); got != c.data {
				t.Errorf("%s %s at site %d: %s, want %s", c.name, c.qtype, c.site, got, c.data)
			}
		}
	}
	if w := strings.Join(db.Warnings(), "\n"); !strings.Contains(w, "zone abc.com.: abc.com.zone:43: nothing.abc.com. ALIAS caa.abc.com.: the target has no addresses") {
		t.Errorf("warnings %s", w)
	}
	for _, s := range db.Tailored()[len(db.Steered()):] {
		of := map[string]int{"abc.com.": 0, "addr.abc.com.": 1, "*.starred.abc.com.": 1, "hint.abc.com.": 2}[s.Name]
		if as := db.Steered()[of]; s.Choices != of || s.Policy != as.Policy || s.Period != as.TTL || db.Tailored()[s.Index] != s {
			t.Errorf("%s: %d, policy %d, period %d, index %d", s.Name, s.Choices, s.Policy, s.Period, s.Index)
		}
	}
	if n := len(db.Tailored()) - len(db.Steered()); n != 4 {
		t.Errorf("%d aliases are tailored, want 4", n)
	}
}

// first is the first record of an answer, its TTL and data, from what is ready
// where something is, else from the encoder.
func first(t *testing.T, db *DB, name string, qtype uint16, site int) string {
	t.Helper()
	fast, slow, _ := askedAt(t, db, name, qtype, false, site)
	if fast == nil {
		t.Fatalf("%s %s: nothing is ready", name, dns.Type(qtype))
	}
	if a, b := sectionsOf(fast), sectionsOf(slow); a != b {
		t.Errorf("%s %s: ready\n%s\nencoded\n%s", name, dns.Type(qtype), a, b)
	}
	_, rest, _ := strings.Cut(fast.Answer[0].String(), "\t")
	fields := strings.Split(rest, "\t")
	return fields[0] + " " + fields[3]
}

// The sites' own addresses stand for a canonical name that has none here, or
// that no server here knows.
func TestAliasOfForeignNames(t *testing.T) {
	sites := slices.Clone(steeredSites)
	sites[0].CNAME, sites[1].CNAME = "cdn.elsewhere.example.", "mail.abc.com."
	db := aliases(t, sites)
	for site, want := range []string{"30 192.0.2.10", "30 192.0.2.25"} {
		if got := first(t, db, "abc.com.", dns.TypeA, site); got != want {
			t.Errorf("site %d: %s, want %s", site, got, want)
		}
	}
}

// All that is wrong with ALIAS records is told, with the lines they stand in.
func TestBadAliases(t *testing.T) {
	text := `$TTL 60
@     SOA n h 1 2 3 4 5
      NS n.other.
out   ALIAS www.elsewhere.example.
self  ALIAS self
ring1 ALIAS ring2
ring2 ALIAS ring1
more  ALIAS one
one   ALIAS host
host  A 192.0.2.1
loop1 CNAME loop2
loop2 CNAME loop1
loop  ALIAS loop1
sub   NS n.other.
deleg ALIAS x.sub
cut   NS n.other.
cut   ALIAS host
steer ALIAS host
via   ALIAS far
far   CNAME x.elsewhere.example.
www   ALIAS site
hintm HTTPS 1 . alpn=h2
`
	dir := t.TempDir()
	file := filepath.Join(dir, "z")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	steered := []SteeredConfig{
		{Name: "steer.abc.com.", Form: Address, TTL: time.Second, Sites: []int{0}},
		{Name: "site.abc.com.", TTL: time.Second, Sites: []int{1, 2, 3}},
	}
	sites := []Site{steeredSites[0], {Name: "bare", CNAME: "cdn.elsewhere.example."}, {Name: "alias", CNAME: "one.abc.com."}, {Name: "empty", CNAME: "n.abc.com."}}
	_, err := Load([]Config{{Name: "abc.com.", File: file}}, steered, sites)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		":4: out.abc.com. ALIAS www.elsewhere.example.: www.elsewhere.example. is in none of the zones served here",
		":5: self.abc.com. ALIAS self.abc.com.: it leads to itself",
		":6: ring1.abc.com. ALIAS ring2.abc.com.: ring2.abc.com. has an ALIAS record itself, at " + file + ":7: write its target ring1.abc.com. here",
		":7: ring2.abc.com.",
		":8: more.abc.com. ALIAS one.abc.com.: one.abc.com. has an ALIAS record itself, at " + file + ":9: write its target host.abc.com. here",
		":13: loop.abc.com. ALIAS loop1.abc.com.: loop1.abc.com. leads through more than 16 aliases, or in a circle",
		":15: deleg.abc.com. ALIAS x.sub.abc.com.: x.sub.abc.com. is delegated away",
		":17: cut.abc.com. ALIAS host.abc.com.: the owner is delegated away",
		":19: via.abc.com. ALIAS far.abc.com.: x.elsewhere.example. is in none of the zones served here",
		"steered name steer.abc.com. has an ALIAS record at " + file + ":18",
		":21: www.abc.com. ALIAS site.abc.com.: site.abc.com. is steered, and at site bare a CNAME to cdn.elsewhere.example., of which cdn.elsewhere.example. is in none",
		"at site alias a CNAME to one.abc.com., of which one.abc.com. has an ALIAS record",
		"at site empty a CNAME to n.abc.com., which has no addresses here: give the site addresses",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), ":9:") && strings.Contains(err.Error(), "one.abc.com. ALIAS host") {
		t.Errorf("a good one is blamed: %v", err)
	}
	for _, c := range []struct{ text, want string }{
		{"x ALIAS\n", "z:4:8: x.abc.com. ALIAS: the target is missing"},
		{"x ALIAS a..b\n", "z:4:9: x.abc.com. ALIAS: target \"a..b\""},
		{"x ALIAS a b\n", "z:4:11: x.abc.com. ALIAS: \"b\" is one field too many"},
		{"x ALIAS a\nx ALIAS b\n", "z:5: x.abc.com. has 2 ALIAS records"},
		{"x ALIAS a\nx A 192.0.2.1\n", "z:5: x.abc.com. has A records and an ALIAS"},
		{"x AAAA ::1\nx TYPE65401 \\# 3 016100\n", "z:4: x.abc.com. has AAAA records and an ALIAS"},
		{"x ALIAS a\nx CNAME b\n", "x.abc.com. has a CNAME and also ALIAS"},
		{"x TYPE65401 \\# 1 05\n", "z:4: x.abc.com. ALIAS has data that is not one of its type"},
	} {
		_, err := Read(Config{Name: "abc.com.", File: "z"}, strings.NewReader("$TTL 60\n@ SOA n h 1 2 3 4 5\n@ NS n.other.\n"+c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.text, err, c.want)
		}
	}
}

// A zone of another server is served whatever its ALIAS records lead to: addresses
// that are not known here are no reason to say that there are none.
func TestAliasesOfOtherServers(t *testing.T) {
	source := read(t, "abc.com.", "$TTL 60\n@ SOA n h 1 2 3 4 5\n@ NS n.other.\n@ ALIAS www.elsewhere.example.\nlate ALIAS x.late.example.\nself ALIAS self\ngood ALIAS host\nhost A 192.0.2.1\nvia CNAME late\n")
	z, err := Make("abc.com.", "transferred", func(yield func(RR) bool) {
		for owner, set := range source.Walk() {
			for r := range set.Of(owner) {
				if !yield(r) {
					return
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	late, err := Absent("late.example.", "")
	if err != nil {
		t.Fatal(err)
	}
	db, err := Build([]*Zone{z, late}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if w := strings.Join(db.Warnings(), "\n"); !strings.Contains(w, "zone abc.com.: transferred: abc.com. ALIAS www.elsewhere.example.: www.elsewhere.example. is in none of the zones") || strings.Contains(w, "late") {
		t.Errorf("warnings %q", w)
	}
	ask := func(db *DB, name, want string) {
		t.Helper()
		var r Result
		if got := lookup(t, db, name, "A", &r); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	ask(db, "abc.com.", "failed")
	ask(db, "self.abc.com.", "failed")
	ask(db, "late.abc.com.", "failed")
	ask(db, "via.abc.com.", "answer @/CNAME/1")
	ask(db, "good.abc.com.", "answer @/A/1")
	db, err = db.With([]*Zone{read(t, "late.example.", otherZone+"x A 192.0.2.2\n")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ask(db, "late.abc.com.", "answer @/A/1")
	ask(db, "via.abc.com.", "answer @/CNAME/1 late.abc.com./A/1")
}

// ALIAS records are among a zone's records for all but look-ups: they are walked,
// compared and found, in zones that are signed too, and are as they were when the
// zone is not signed any more.
func TestAliasRecords(t *testing.T) {
	z := read(t, "abc.com.", aliasZone)
	db := aliases(t, steeredSites)
	signed := signedDB(t, signedExample, signings(t)["nsec"], steeredSample)
	for _, z := range []*Zone{z, db.Zones()[0], signed.Zones()[0]} {
		var walked, sorted int
		for owner, set := range z.Walk() {
			if set.Type == TypeALIAS {
				walked++
				if again, ok := z.Set(owner, TypeALIAS); !ok || !bytes.Equal(again.Wire, set.Wire) || set.Sigs > 0 {
					t.Errorf("%s: %v %v", dnsname.Format(owner), ok, again)
				}
			}
		}
		if walked < 6 || walked != len(z.aliases) {
			t.Errorf("%d of %d aliases are walked", walked, len(z.aliases))
		}
		for i := range z.aliases {
			if i > 0 && z.aliases[i].node > z.aliases[i-1].node {
				sorted++
			}
		}
		if sorted != walked-1 {
			t.Errorf("aliases are not in the order of their nodes: %v", z.aliases)
		}
	}
	next := read(t, "abc.com.", strings.Replace(aliasZone, "to        120 ALIAS a.www", "to        120 ALIAS b.www", 1))
	removed, added := z.Diff(next)
	if fmt.Sprint(len(removed), len(added)) != "1 1" || removed[0].Type != TypeALIAS || added[0].Type != TypeALIAS {
		t.Errorf("removed %v, added %v", removed, added)
	}
	if n := db.Names(db.Zones()[0]); n != z.names+2 {
		t.Errorf("%d names, %d of the zone's own", n, z.names)
	}
}

// A zone is signed again when what its aliases lead to has changed, and only then.
func TestResignAliases(t *testing.T) {
	db := signedDB(t, signedExample+"tolate ALIAS n.late.example.\n", signings(t)["nsec"], steeredSample)
	z := db.Zones()[0]
	if _, _, r := asked(t, db, "tolate.abc.com.", dns.TypeA, true); r.Outcome != Failed {
		t.Errorf("before the target is known: %v", r.Outcome)
	}
	for _, c := range []struct {
		zone  string
		fresh bool
	}{{otherZone, true}, {otherZone + "x A 192.0.2.1\n", false}, {strings.Replace(otherZone, "192.0.2.77", "192.0.2.76", 1), true}} {
		next, err := db.With([]*Zone{read(t, "late.example.", c.zone)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if now := next.Zones()[0]; (now != z) != c.fresh {
			t.Errorf("signed anew: %v, want %v", now != z, c.fresh)
		}
		db, z = next, next.Zones()[0]
		checkSignedAt(t, db, z, signTime, 0)
		if _, m, _ := asked(t, db, "tolate.abc.com.", dns.TypeA, true); len(m.Answer) != 2 {
			t.Errorf("%v", m)
		}
	}
}

func TestAliasLookupAllocatesNothing(t *testing.T) {
	db := aliases(t, steeredSites)
	var r Result
	for _, name := range []string{"abc.com.", "to.abc.com.", "toal.abc.com.", "x.star.abc.com."} {
		wire, _ := dnsname.Parse(name)
		n := named(t, wire)
		if a := testing.AllocsPerRun(100, func() { db.Lookup(n, dns.TypeA, false, &r) }); a != 0 {
			t.Errorf("%s: %v allocations", name, a)
		}
	}
}
