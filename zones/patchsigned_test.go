package zones

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnssec"
)

// TestPatchSigned: after any changes, and when signatures are due, with a change or
// without one, a signed zone that was patched has the records, signatures and answers
// of one that is signed anew, in the same octets, and for that all signatures are at
// hand; steered names in it are as they were.
func TestPatchSigned(t *testing.T) {
	steered := []SteeredConfig{
		{Name: "www.x.", Form: Address, TTL: 30 * time.Second, Sites: []int{0, 1}},
		{Name: "*.st.x.", Form: Address, TTL: 30 * time.Second, Sites: []int{0, 1}},
		{Name: "deep.b.x.", Form: Address, TTL: 30 * time.Second, Sites: []int{0, 1}},
	}
	sites := []Site{{Name: "one", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}, {Name: "two", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")}}}
	data := []string{"A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1", "TXT one", "MX 10 target", "MX 20 b.x.", "SRV 1 2 3 h9", "CNAME h3", "NS ns.sub", "NS ns1.cut", "NS other.", "DNAME else.", "DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000"}
	names := []string{"a", "b", "*", "c.b", "*.b", "d.c.b", "*.d.c.b", "target", "Upper.b", "h1", "h2", "x1.h2", "*.e.f.g", "e.f.g", "g", "below.sub", "ns.sub", "ns", "cut", "ns1.cut", "cut.b", "x.cut.b", "zzz", "0", "st", "x.st", "", "www"}
	k := key(t, "x.", dnssec.ECDSAP256SHA256, dnssec.CSK)
	for _, denial := range []dnssec.Signing{{Denial: dnssec.WithNSEC}, {Denial: dnssec.WithNSEC3}, {Denial: dnssec.WithNSEC3, NSEC3: dnssec.NSEC3Params{OptOut: true, Salt: []byte{1}}}} {
		what := fmt.Sprintf("denial %d, opt-out %v", denial.Denial, denial.NSEC3.OptOut)
		denial.Keys = csk(k)
		now := signTime
		random := rand.New(rand.NewPCG(*patchSeed, 10))
		load := func(z *Zone, cache *dnssec.Cache) (*DB, error) {
			s := denial
			s.Cache = cache
			return Input{Others: func(func([]byte) *Zone) ([]*Zone, error) { return []*Zone{z}, nil }, Steered: steered, Sites: sites,
				Signing: map[string]*dnssec.Signing{"x.": &s}, Now: func() time.Time { return now }}.Load(nil)
		}
		base := newModel(t)
		for i := range 100 {
			r := rr(t, fmt.Sprintf("i%d A 192.0.2.%d", i, i))
			base[fmt.Sprintf("i%d.x.", i)] = []RR{r}
		}
		z := base.make(t)
		db, err := load(z, nil)
		if err != nil {
			t.Fatal(err)
		}
		var p Patcher
		patched, refused, renewed := 0, 0, 0
		// check compares the zone as it is served with one that is signed anew.
		check := func(at string, before, raw *Zone, names []string) {
			t.Helper()
			signed := db.Zones()[0]
			if signed.patched != nil {
				patched++
			} else {
				refused++
			}
			anew, err := load(raw, signed.signing.result.Cache)
			if err != nil {
				t.Fatal(err)
			}
			other := anew.Zones()[0]
			if made := other.signing.result.Made; made > 0 {
				t.Errorf("%s: %d signatures are not at hand", at, made)
			}
			sameLines(t, at, lines(signed), lines(other))
			// The signature that was the first to be renewed may be gone with what it was of: then the patch looks too soon, which does no harm.
			sameNext := signed.signing.result.Next.Equal(other.signing.result.Next) || signed.patched != nil && signed.signing.result.Next.Before(other.signing.result.Next)
			if signed.names != other.names || signed.Serial != other.Serial || signed.signing.result.Names != other.signing.result.Names || !sameNext {
				t.Fatalf("%s: %d names, serial %d, %d proofs, next %v; want %d, %d, %d, %v", at, signed.names, signed.Serial, signed.signing.result.Names, signed.signing.result.Next,
					other.names, other.Serial, other.signing.result.Names, other.signing.result.Next)
			}
			answerAlike(t, at, [2]*DB{db, anew}, names, true)
			removed, added := before.Diff(signed)
			wholeR, wholeA := before.diff(signed)
			if !slices.Equal(texts(removed), texts(wholeR)) || !slices.Equal(texts(added), texts(wholeA)) {
				t.Fatalf("%s: differences\n%s\n%s\nwant\n%s\n%s", at, texts(removed), texts(added), texts(wholeR), texts(wholeA))
			}
		}
		for step := range 40 {
			at := fmt.Sprintf("%s, step %d", what, step)
			if step%4 == 3 {
				now = now.Add(time.Duration(2+random.IntN(4)) * time.Hour)
			}
			if step%8 == 3 {
				before, oldLines := db.Zones()[0], lines(db.Zones()[0])
				if db, err = db.Resign(map[string]*dnssec.Signing{"x.": &denial}); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(lines(before), oldLines) {
					t.Fatalf("%s: the zone before has changed", at)
				}
				if r := db.Zones()[0].signing.result; r.Made > 0 && db.Zones()[0].patched != nil {
					renewed++
				}
				check(at+", renewed", before, z, near(random, names, nil))
			}
			was := maps.Clone(base)
			changes := base.change(t, random, names, data, uint32(step+2))
			want, err := base.tryMake(t)
			if err != nil { // below a DNAME, or the like
				base = was
				continue
			}
			var all []Changed
			for _, key := range slices.Sorted(maps.Keys(changes)) {
				all = append(all, base.changed(t, key))
			}
			next, ok := p.Patch(z, all)
			if !ok || step%5 == 0 { // then the zones are compared
				next = want
			}
			before := db.Zones()[0]
			old, oldLines := db, lines(before)
			if db, err = db.With([]*Zone{next}, nil); err != nil {
				if _, again := load(want, nil); again == nil { // as when a steered name is delegated away
					t.Fatal(err)
				}
				base, db = was, old
				continue
			}
			z = next
			if !slices.Equal(lines(before), oldLines) {
				t.Fatalf("%s: the zone before has changed", at)
			}
			check(at, before, want, near(random, names, changes))
		}
		if t.Logf("%s: %d were patched, %d not; of these %d as they were due alone", what, patched, refused, renewed); patched < 10 || renewed == 0 {
			t.Errorf("%s: only %d were patched, %d not; %d as they were due alone", what, patched, refused, renewed)
		}
	}
}

// TestPatchSignedReadAnew: a zone that was read anew, where nobody has noted what has
// changed, delegates a name, and some of the names below it have changed: the others
// are no longer signed either.
func TestPatchSignedReadAnew(t *testing.T) {
	k := key(t, "x.", dnssec.ECDSAP256SHA256, dnssec.CSK)
	load := func(z *Zone, cache *dnssec.Cache) *DB {
		s := &dnssec.Signing{Keys: csk(k), Cache: cache}
		db, err := Input{Others: func(func([]byte) *Zone) ([]*Zone, error) { return []*Zone{z}, nil }, Signing: map[string]*dnssec.Signing{"x.": s}, Now: func() time.Time { return signTime }}.Load(nil)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	base := newModel(t)
	for i := range 100 {
		base[fmt.Sprintf("i%d.x.", i)] = []RR{rr(t, fmt.Sprintf("i%d A 192.0.2.%d", i, i))}
	}
	base["cut.x."] = []RR{rr(t, "cut TXT whole")}
	for _, name := range []string{"a.cut", "b.cut"} {
		base[name+".x."] = []RR{rr(t, name+" A 192.0.2.1")}
	}
	db := load(base.make(t), nil)
	base["cut.x."] = []RR{rr(t, "cut NS other.")}
	base["a.cut.x."] = []RR{rr(t, "a.cut A 192.0.2.2")}
	next := base.make(t)
	db, err := db.With([]*Zone{next}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed := db.Zones()[0]
	anew := load(next, signed.signing.result.Cache)
	sameLines(t, "delegated", lines(signed), lines(anew.Zones()[0]))
	answerAlike(t, "delegated", [2]*DB{db, anew}, []string{"cut", "a.cut", "b.cut", "c.cut"}, true)
}

// near are the labels of names that have changed, and of some others.
func near(random *rand.Rand, names []string, changes map[string]bool) (some []string) {
	for _, name := range names {
		if changes[strings.ToLower(name)+".x."] || random.IntN(5) == 0 {
			some = append(some, name)
		}
	}
	return some
}

func texts(list []RR) (all []string) {
	for _, r := range list {
		all = append(all, fmt.Sprintf("%x %d %d %x", r.Owner, r.Type, r.TTL, r.Data))
	}
	slices.Sort(all)
	return all
}

// BenchmarkPatched is what a look-up costs in a large signed zone as it was made, and
// in one that has been patched many times.
func BenchmarkPatched(b *testing.B) {
	const n = 100_000
	raw, err := Read(Config{Name: "example.", File: "f"}, bytes.NewReader(hosts(n)))
	if err != nil {
		b.Fatal(err)
	}
	s := &dnssec.Signing{Keys: csk(key(b, "example.", dnssec.ECDSAP256SHA256, dnssec.CSK))}
	whole, err := Input{Others: func(func([]byte) *Zone) ([]*Zone, error) { return []*Zone{raw}, nil }, Signing: map[string]*dnssec.Signing{"example.": s}, Now: func() time.Time { return signTime }}.Load(nil)
	if err != nil {
		b.Fatal(err)
	}
	patched := whole
	var p Patcher
	var apex Changed
	for owner, set := range raw.Walk() {
		if sameName(owner, raw.apex) {
			apex.Owner = owner
			apex.Records = slices.AppendSeq(apex.Records, set.Of(owner))
		}
	}
	next := func(i int) {
		c := Changed{Owner: []byte(fmt.Sprintf("\x05q%04d\x07example\x00", i%10000))}
		c.Records = []RR{{c.Owner, dns.TypeA, 60, []byte{192, 0, 2, byte(i)}}}
		z, ok := p.Patch(raw, []Changed{apex, c})
		if !ok {
			b.Fatal("it is not patched")
		}
		raw = z
		if patched, err = patched.With([]*Zone{raw}, nil); err != nil || patched.Zones()[0].patched == nil {
			b.Fatal("it is not patched ", err)
		}
	}
	for i := range 1000 {
		next(i)
	}
	for _, db := range []struct {
		what string
		db   *DB
	}{{"whole", whole}, {"patched", patched}} {
		for _, name := range []string{"\x07h%06d", "\x08h%06dx"} {
			var names [1 << 14][]byte
			random := rand.New(rand.NewPCG(1, 2))
			for i := range names {
				names[i] = []byte(fmt.Sprintf(name+"\x07example\x00", random.IntN(n)))
				names[i][0] = byte(len(names[i]) - 10)
			}
			b.Run(db.what+map[bool]string{true: "/there", false: "/not"}[name == "\x07h%06d"], func(b *testing.B) {
				var q Name
				var r Result
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					q.Set(names[i&(1<<14-1)])
					db.db.Lookup(&q, dns.TypeA, true, &r)
				}
			})
		}
	}
	b.Run("update", func(b *testing.B) {
		b.ReportAllocs()
		for i := 1000; b.Loop(); i++ {
			next(i)
		}
	})
}
