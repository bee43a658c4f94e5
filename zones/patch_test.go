package zones

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// model is a zone as records by name, lower case in presentation form.
type model map[string][]RR

// changed gives a name of the model for Patch.
func (m model) changed(t testing.TB, name string) Changed {
	owner, err := dnsname.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	c := Changed{Owner: owner, Records: slices.Clone(m[name])}
	if len(c.Records) > 0 {
		c.Owner = c.Records[0].Owner // with its letters
	}
	slices.SortStableFunc(c.Records, func(a, b RR) int { return int(a.Type) - int(b.Type) })
	return c
}

func (m model) make(t testing.TB) *Zone {
	t.Helper()
	z, err := m.tryMake(t)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func (m model) tryMake(t testing.TB) (*Zone, error) {
	return Make("x.", "x.zone", func(yield func(RR) bool) {
		for _, name := range append([]string{"x."}, slices.Sorted(maps.Keys(m))...) {
			for _, r := range m.changed(t, name).Records {
				if !yield(r) {
					return
				}
			}
		}
	})
}

func rr(t testing.TB, text string) RR {
	t.Helper()
	z := readZone(t, "$TTL 60\n@ IN SOA a. b. 1 1 1 1 1\n@ IN NS a.\n"+text+"\n")
	for owner, set := range z.Walk() {
		if set.Type != dns.TypeSOA {
			for r := range set.Of(owner) {
				if r.Type != dns.TypeNS || !bytes.Equal(r.Data, []byte("\x01a\x00")) {
					return r
				}
			}
		}
	}
	t.Fatal(text)
	return RR{}
}

// patchSeed lets TestPatch and TestPatchSigned make other changes than they ever do:
//
//	go test ./zones -run 'TestPatch(Signed)?$' -patch.seed 17
var patchSeed = flag.Uint64("patch.seed", 9, "what the changes of TestPatch and TestPatchSigned are drawn from")

// TestPatch: after any changes a patched zone answers all there is to ask as one that
// is made anew, in the same octets, and the zone before stays as it was.
func TestPatch(t *testing.T) {
	random := rand.New(rand.NewPCG(*patchSeed, 8))
	data := []string{"A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1", "TXT one", "TXT two", "MX 10 target", "MX 20 b.x.", "SRV 1 2 3 h9", "HTTPS 1 . alpn=h2", "CNAME h3", "TYPE65400 \\# 1 00", "NS ns.sub", "NS ns1.cut", "NS other.", "DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000"}
	names := []string{"a", "b", "*", "c.b", "*.b", "d.c.b", "*.d.c.b", "target", "Upper.b", "h1", "h2", "x1.h2", "*.e.f.g", "e.f.g", "g", "below.sub", "ns.sub", "ns", "cut", "ns1.cut", "cut.b", "x.cut.b", "mail", ""}
	patched, anew := 0, 0
	for round := range 3 {
		base := newModel(t)
		z := base.make(t)
		var p Patcher
		for step := range 50 {
			changes := base.change(t, random, names, data, uint32(step+2))
			var all []Changed
			for _, key := range slices.Sorted(maps.Keys(changes)) {
				all = append(all, base.changed(t, key))
			}
			want := base.make(t)
			before := lines(z)
			next, ok := p.Patch(z, all)
			if !ok {
				anew++
				z = want
				continue
			}
			patched++
			if now := lines(z); !slices.Equal(now, before) {
				t.Fatal("the zone before has changed")
			}
			alike(t, fmt.Sprintf("round %d, step %d", round, step), next, want, near(random, names, changes))
			z = next
		}
	}
	if patched < 75 {
		t.Errorf("only %d of %d were patched", patched, patched+anew)
	}
}

// TestPatchAliasMode: what an HTTPS record in alias mode leads to goes with it (RFC 9460,
// section 4.1), and so when it comes, changes and goes.
func TestPatchAliasMode(t *testing.T) {
	base := newModel(t)
	address := base["h7.x."]
	z := base.make(t)
	var p Patcher
	for _, text := range []string{"h7 HTTPS 1 . alpn=h2", "h7 HTTPS 1 . alpn=h3", ""} {
		base["h7.x."] = slices.Clone(address)
		if text != "" {
			base["h7.x."] = append(base["h7.x."], rr(t, text))
		}
		next, ok := p.Patch(z, []Changed{base.changed(t, "h7.x.")})
		if !ok {
			t.Fatalf("%q is not patched", text)
		}
		alike(t, text, next, base.make(t), []string{"h7", "svc"})
		z = next
	}
}

// TestPatchKeepsSlotsFree: names that come and go leave slots of the index behind that
// are not free again; who patches knows of them, also if it did not make them. With
// none free a look-up for a name that is not there would not end.
func TestPatchKeepsSlotsFree(t *testing.T) {
	base := newModel(t)
	z := base.make(t)
	free := func() int { return z.pages.slots - z.pages.taken() }
	anew := 0
	for i := range 400 {
		name := fmt.Sprintf("new%d.x.", i/2)
		if base[name] = []RR{rr(t, fmt.Sprintf("new%d A 192.0.2.1", i/2))}; i%2 == 1 {
			delete(base, name)
		}
		changes := []Changed{base.changed(t, "x."), base.changed(t, name)}
		if i%2 == 1 {
			changes[1].Owner = []byte(fmt.Sprintf("%cnew%d\x01x\x00", len(name)-3, i/2))
		}
		next, ok := new(Patcher).Patch(z, changes)
		if !ok {
			next, anew = base.make(t), anew+1
		} else if z = next; free() < z.pages.slots/4 {
			t.Fatalf("after %d changes %d of %d slots are free", i+1, free(), z.pages.slots)
		}
		z = next
	}
	if anew == 0 || anew > 100 {
		t.Errorf("%d of 400 were made anew", anew)
	}
}

// TestPatchReady: what is learned ahead is what is learned when a change comes; a zone
// that has been changed meanwhile is not gone back to, and one that ends leaves nothing.
func TestPatchReady(t *testing.T) {
	base := newModel(t)
	z := base.make(t)
	ended, end := context.WithCancel(t.Context())
	end()
	var p, other Patcher
	for i := range yieldEvery {
		base[fmt.Sprintf("more%d.x.", i)] = []RR{rr(t, fmt.Sprintf("more%d A 192.0.2.1", i))}
	}
	large := base.make(t)
	if p.Ready(large)(ended); p.zone != nil {
		t.Error("it has learned of a zone though it was to end")
	}
	p.Ready(z)(t.Context())
	if other.learn(z, func() bool { return true }); p.zone != z || p.own || !maps.Equal(p.kids, other.kids) || !maps.Equal(p.targets, other.targets) || p.slots != other.slots || p.whole != other.whole {
		t.Errorf("learned ahead: %d names, %d targets, %d slots; want %d, %d, %d", len(p.kids), len(p.targets), p.slots, len(other.kids), len(other.targets), other.slots)
	}
	before := lines(z)
	a := Changed{Owner: []byte("\x01a\x01x\x00")}
	a.Records = []RR{{a.Owner, dns.TypeA, 60, []byte{192, 0, 2, 1}}}
	next, ok := p.Patch(z, []Changed{a})
	if !ok || p.zone != next || !slices.Equal(before, lines(z)) {
		t.Fatal("not patched, or the zone before has changed")
	}
	if p.Ready(z) != nil || p.Ready(next) != nil {
		t.Error("there is something to be learned of a zone that has been changed, or that it made")
	}
	late := p.Ready(large)
	if next, ok = p.Patch(next, []Changed{{Owner: a.Owner}}); !ok {
		t.Fatal("not patched")
	}
	if late(t.Context()); p.zone != next {
		t.Error("a change that came meanwhile is forgotten")
	}
	if p.Ready(large)(t.Context()); p.zone != large {
		t.Error("it does not know the zone that came in its place")
	}
}

// change changes the records of one to three names, and the serial number; what it
// gives are these names.
func (m model) change(t testing.TB, random *rand.Rand, names, data []string, serial uint32) map[string]bool {
	changes := map[string]bool{"x.": true}
	for range 1 + random.IntN(3) {
		name := names[random.IntN(len(names))]
		key := strings.ToLower(name) + ".x."
		list := someRecords(t, random, name, data)
		if name == "" { // the apex keeps its SOA, and a server
			key = "x."
			keep := slices.DeleteFunc(slices.Clone(m[key]), func(r RR) bool {
				return r.Type != dns.TypeSOA && r.Type != dns.TypeNS || random.IntN(4) == 0 && string(r.Data) == "\x07nowhere\x01x\x00"
			})
			list = append(keep, slices.DeleteFunc(list, func(r RR) bool {
				return r.Type == dns.TypeCNAME || r.Type == dns.TypeDS || r.Type == dns.TypeNS && slices.ContainsFunc(keep, r.Same)
			})...)
			for i := range list {
				if list[i].Owner = m[key][0].Owner; list[i].Type == dns.TypeNS {
					list[i].TTL = 60
				}
			}
		}
		if m[key] = list; len(list) == 0 {
			delete(m, key)
		}
		changes[key] = true
	}
	soa := slices.IndexFunc(m["x."], func(r RR) bool { return r.Type == dns.TypeSOA })
	m["x."] = slices.Clone(m["x."])
	m["x."][soa] = rr2(m["x."][soa], serial)
	return changes
}

// someRecords are random records of a name.
func someRecords(t testing.TB, random *rand.Rand, name string, data []string) (list []RR) {
	for range random.IntN(4) {
		d := data[random.IntN(len(data))]
		if strings.HasPrefix(name, "*") && strings.HasPrefix(d, "NS") || name == "" && strings.HasPrefix(d, "CNAME") {
			continue
		}
		r := rr(t, cmp.Or(name, "@")+" "+d)
		if !slices.ContainsFunc(list, r.Same) {
			list = append(list, r)
		}
	}
	if i := slices.IndexFunc(list, func(r RR) bool { return r.Type == dns.TypeCNAME }); i >= 0 {
		list = list[i : i+1]
	}
	for i := range list {
		list[i].Owner = list[0].Owner
	}
	return list
}

// newModel is a zone to begin with.
func newModel(t testing.TB) model {
	base := model{}
	add := func(text string) {
		r := rr(t, text)
		n := dnsname.Format(bytes.ToLower(r.Owner))
		base[n] = append(base[n], r)
	}
	z0 := readZone(t, "$TTL 60\n@ IN SOA ns.x. h.x. 1 3600 600 86400 60\n@ IN NS ns\n@ IN NS nowhere\n@ IN MX 5 mail\nsub IN NS ns.sub\nns.sub IN A 192.0.2.7\nns IN A 192.0.2.3\nsvc IN HTTPS 0 h7\n")
	for owner, set := range z0.Walk() {
		for r := range set.Of(owner) {
			base[dnsname.Format(owner)] = append(base[dnsname.Format(owner)], r)
		}
	}
	for i := range 150 {
		add(fmt.Sprintf("h%d A 192.0.2.%d", i, i))
	}
	return base
}

// rr2 is an SOA record with another serial number.
func rr2(soa RR, serial uint32) RR {
	soa.Data = bytes.Clone(soa.Data)
	at := len(soa.Data) - 20
	soa.Data[at+2], soa.Data[at+3] = byte(serial>>8), byte(serial)
	return soa
}

// alike compares two zones by their records and by all answers.
func alike(t *testing.T, what string, got, want *Zone, names []string) {
	t.Helper()
	sameLines(t, what, lines(got), lines(want))
	if got.names != want.names || got.Serial != want.Serial {
		t.Fatalf("%s: %d names, serial %d; want %d, %d", what, got.names, got.Serial, want.names, want.Serial)
	}
	dbs := [2]*DB{}
	for i, z := range []*Zone{got, want} {
		db, err := Build([]*Zone{z}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		dbs[i] = db
	}
	answerAlike(t, what, dbs, names, false)
}

func sameLines(t *testing.T, what string, a, b []string) {
	t.Helper()
	if slices.Equal(a, b) {
		return
	}
	gone := func(s string) bool { return slices.Contains(a, s) && slices.Contains(b, s) }
	t.Fatalf("%s: %d records\n%s\nwant %d\n%s", what, len(a), strings.Join(slices.DeleteFunc(slices.Clone(a), gone), "\n"), len(b), strings.Join(slices.DeleteFunc(slices.Clone(b), gone), "\n"))
}

// answerAlike asks two DBs all there is to ask about names and those near them.
func answerAlike(t *testing.T, what string, dbs [2]*DB, names []string, signed bool) {
	t.Helper()
	types := []uint16{dns.TypeA, dns.TypeTXT, dns.TypeMX, dns.TypeSOA, dns.TypeANY, dns.TypeHTTPS}
	if signed {
		types = append(types, dns.TypeAAAA, dns.TypeDS, dns.TypeNS, dns.TypeNSEC, dns.TypeRRSIG)
	}
	var n Name
	for _, label := range append([]string{"", "h7", "h149", "nothing", "ns", "nowhere", "sub", "x.sub", "f.g", "svc"}, names...) {
		for _, prefix := range []string{"", "z.y.", "*."} {
			name := strings.TrimPrefix(prefix+label+".x.", ".")
			wire, err := dnsname.Parse(name)
			if err != nil {
				continue
			}
			for _, qtype := range types {
				var said [2]string
				for i, db := range dbs {
					var r Result
					n.Set(wire)
					db.Lookup(&n, qtype, signed, &r)
					said[i] = fmt.Sprintf("%s %x %d %d %d", show(&r), r.Wire.Body, r.Wire.Answer, r.Wire.Authority, r.Wire.Additional)
					for site := 0; r.Outcome == Tailored && site < 2; site++ {
						db.Tailor(&r, qtype, site)
						said[i] += fmt.Sprintf("\nat %d %s", site, show(&r))
						r.Outcome = Tailored
					}
				}
				if said[0] != said[1] {
					t.Fatalf("%s: %s %s:\n%s\nwant\n%s", what, name, dns.Type(qtype), said[0], said[1])
				}
			}
		}
	}
}
