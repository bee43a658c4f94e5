package zones

import (
	"bytes"
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
	z, err := Make("x.", "x.zone", func(yield func(RR) bool) {
		for _, name := range append([]string{"x."}, slices.Sorted(maps.Keys(m))...) {
			for _, r := range m.changed(t, name).Records {
				if !yield(r) {
					return
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func rr(t testing.TB, text string) RR {
	t.Helper()
	z := readZone(t, "$TTL 60\n@ IN SOA a. b. 1 1 1 1 1\n@ IN NS a.\n"+text+"\n")
	for owner, set := range z.Walk() {
		if set.Type != dns.TypeSOA && set.Type != dns.TypeNS {
			for r := range set.Of(owner) {
				return r
			}
		}
	}
	t.Fatal(text)
	return RR{}
}

// TestPatch: after any changes a patched zone answers all there is to ask as one that
// is made anew, in the same octets, and the zone before stays as it was.
func TestPatch(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	data := []string{"A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1", "TXT one", "TXT two", "MX 10 target", "MX 20 b.x.", "SRV 1 2 3 h9", "HTTPS 1 . alpn=h2", "CNAME h3", "TYPE65400 \\# 1 00"}
	names := []string{"a", "b", "*", "c.b", "*.b", "d.c.b", "*.d.c.b", "target", "Upper.b", "h1", "h2", "x1.h2", "*.e.f.g", "e.f.g", "g", "below.sub"}
	patched, anew := 0, 0
	for round := range 3 {
		base := model{}
		add := func(text string) {
			r := rr(t, text)
			n := dnsname.Format(bytes.ToLower(r.Owner))
			base[n] = append(base[n], r)
		}
		z0 := readZone(t, "$TTL 60\n@ IN SOA ns.x. h.x. 1 3600 600 86400 60\n@ IN NS ns\n@ IN NS nowhere\n@ IN MX 5 mail\nsub IN NS ns.sub\nns.sub IN A 192.0.2.7\nns IN A 192.0.2.3\n")
		for owner, set := range z0.Walk() {
			for r := range set.Of(owner) {
				base[dnsname.Format(owner)] = append(base[dnsname.Format(owner)], r)
			}
		}
		for i := range 150 {
			add(fmt.Sprintf("h%d A 192.0.2.%d", i, i))
		}
		z := base.make(t)
		var p Patcher
		for step := range 50 {
			// One to three names get other records, or none, or what is there and more.
			changes := map[string]bool{"x.": true}
			for range 1 + random.IntN(3) {
				name := names[random.IntN(len(names))]
				key := strings.ToLower(name) + ".x."
				var list []RR
				for range random.IntN(4) {
					r := rr(t, name+" "+data[random.IntN(len(data))])
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
				if base[key] = list; len(list) == 0 {
					delete(base, key)
				}
				changes[key] = true
			}
			soa := slices.IndexFunc(base["x."], func(r RR) bool { return r.Type == dns.TypeSOA })
			base["x."] = slices.Clone(base["x."])
			base["x."][soa] = rr2(base["x."][soa], uint32(step+2))
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
			alike(t, fmt.Sprintf("round %d, step %d", round, step), next, want, names)
			z = next
		}
	}
	if patched < 75 {
		t.Errorf("only %d of %d were patched", patched, patched+anew)
	}
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
	if a, b := lines(got), lines(want); !slices.Equal(a, b) {
		gone := func(s string) bool { return slices.Contains(a, s) && slices.Contains(b, s) }
		t.Fatalf("%s: records\n%s\nwant\n%s", what, strings.Join(slices.DeleteFunc(slices.Clone(a), gone), "\n"), strings.Join(slices.DeleteFunc(slices.Clone(b), gone), "\n"))
	}
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
	for _, label := range append([]string{"", "h7", "h149", "nothing", "ns", "nowhere", "sub", "x.sub", "f.g"}, names...) {
		for _, prefix := range []string{"", "z.y.", "*."} {
			name := strings.TrimPrefix(prefix+label+".x.", ".")
			wire, err := dnsname.Parse(name)
			if err != nil {
				continue
			}
			for _, qtype := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeMX, dns.TypeSOA, dns.TypeANY} {
				var said [2]string
				for i, db := range dbs {
					var n Name
					var r Result
					n.Set(wire)
					db.Lookup(&n, qtype, false, &r)
					said[i] = fmt.Sprintf("%s %x %d %d %d", show(&r), r.Wire.Body, r.Wire.Answer, r.Wire.Authority, r.Wire.Additional)
				}
				if said[0] != said[1] {
					t.Fatalf("%s: %s %s:\n%s\nwant\n%s", what, name, dns.Type(qtype), said[0], said[1])
				}
			}
		}
	}
}
