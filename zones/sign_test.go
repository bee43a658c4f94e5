package zones

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
	"gslb/test/bed"
)

var signTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func key(t testing.TB, zone string, alg dnssec.Algorithm, role dnssec.Role) *dnssec.Key {
	t.Helper()
	wire, err := dnsname.Parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	k, err := dnssec.Generate(wire, alg, 0, role, dnssec.Timing{Created: signTime, Publish: signTime, Activate: signTime})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func csk(k *dnssec.Key) dnssec.Plan {
	all := []*dnssec.Key{k}
	return dnssec.Plan{Publish: all, SignKeys: all, SignZone: all, CDS: all}
}

// steeredSample are steered names of each kind in exampleZone, at two sites of
// which one lacks IPv6.
var steeredSample = []SteeredConfig{
	{Name: "www.abc.com.", Form: CNAME, TTL: 30 * time.Second, Sites: []int{0, 1}},
	{Name: "app.abc.com.", Form: Address, TTL: 30 * time.Second, Sites: []int{0, 1}},
	{Name: "far.deep.down.abc.com.", Form: Address, TTL: 30 * time.Second, Sites: []int{0, 1}},
	{Name: "*.cdn.abc.com.", Form: Address, TTL: 30 * time.Second, Sites: []int{0, 1}},
	{Name: "*.alias.cdn2.abc.com.", Form: CNAME, TTL: 30 * time.Second, Sites: []int{0, 1}},
	{Name: "abc.com.", Form: Address, TTL: 30 * time.Second, Sites: []int{0, 1}},
	{Name: "beside.abc.com.", Form: Address, TTL: 30 * time.Second, Sites: []int{0, 1}},
	{Name: "hints.abc.com.", Form: Address, TTL: 30 * time.Second, Sites: []int{0, 1}, Hints: true},
	{Name: "*.hinted.abc.com.", Form: Address, TTL: 30 * time.Second, Sites: []int{0, 1}, Hints: true},
}

var steeredSites = []Site{
	{Name: "kt", CNAME: "a.www.abc.com.", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")}},
	{Name: "lgu", CNAME: "one.wild.abc.com.", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.20")}},
}

const signedExample = exampleZone + `
beside   TXT "beside the addresses of a site"
hints    HTTPS 1 . alpn=h2
         SVCB  1 . port=53
*.hinted HTTPS 1 . alpn=h2
al.ent.two ALIAS mail
hintal   ALIAS hints
         HTTPS 1 . alpn=h2
toal     CNAME x.anyal
tochain  CNAME toal
up.a.b.c CNAME c.abc.com.
c        CNAME up.a.b.d
up.a.b.d A 192.0.2.3
x.a.b.c  CNAME X.A.B.d
x.a.b.d  A 192.0.2.4
toroot   CNAME abc.com.
srv      SRV 1 2 3 mail
         MX 5 mail
*.mxs    MX 5 ns1
*.srvs   SRV 1 2 3 ns1
         HTTPS 0 svc.two
svc.two  HTTPS 1 . alpn=h2
         A   192.0.2.13
         AAAA 2001:db8::13
*.anyal  ALIAS b.www
*.appal  ALIAS app
alwww    120 ALIAS www
alnone   ALIAS caa
secure   NS  ns.secure
secure   DS  1 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.secure A  192.0.2.11
deep.only.optout NS ns.elsewhere.net.
*.optout TXT "stands for nothing below only.optout"
`

func signings(t testing.TB) map[string]*dnssec.Signing {
	k := key(t, "abc.com.", dnssec.ECDSAP256SHA256, dnssec.CSK)
	ksk, zsk := key(t, "abc.com.", dnssec.ED25519, dnssec.KSK), key(t, "abc.com.", dnssec.ED25519, dnssec.ZSK)
	split := dnssec.Plan{Publish: []*dnssec.Key{ksk, zsk}, SignKeys: []*dnssec.Key{ksk}, SignZone: []*dnssec.Key{zsk}, CDS: []*dnssec.Key{ksk}}
	both := dnssec.Plan{Publish: []*dnssec.Key{k, zsk}, SignKeys: []*dnssec.Key{k}, SignZone: []*dnssec.Key{k, zsk}}
	return map[string]*dnssec.Signing{
		"nsec":    {Keys: csk(k)},
		"split":   {Keys: split},
		"double":  {Keys: both},
		"nsec3":   {Keys: csk(k), Denial: dnssec.WithNSEC3},
		"salt":    {Keys: csk(k), Denial: dnssec.WithNSEC3, NSEC3: dnssec.NSEC3Params{Iterations: 3, Salt: []byte{1, 2}}},
		"opt-out": {Keys: split, Denial: dnssec.WithNSEC3, NSEC3: dnssec.NSEC3Params{OptOut: true}},
	}
}

func signedDB(t testing.TB, text string, s *dnssec.Signing, steered []SteeredConfig) *DB {
	t.Helper()
	db, err := Build([]*Zone{read(t, "abc.com.", text)}, steered, steeredSites)
	if err == nil {
		db.now = func() time.Time { return signTime }
		db, err = db.Resign(map[string]*dnssec.Signing{"abc.com.": s})
	}
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// What is signed here is validated, for the names of the zone, steered ones at
// each of their sites, and names near those.
func TestSignedHere(t *testing.T) {
	for name, s := range signings(t) {
		t.Run(name, func(t *testing.T) {
			db := signedDB(t, signedExample, s, steeredSample)
			z := db.Zones()[0]
			if !slices.ContainsFunc(db.Warnings(), func(w string) bool {
				return strings.Contains(w, "app.abc.com. has sites with addresses of one family only")
			}) {
				t.Errorf("warnings %q", db.Warnings())
			}
			if strings.Contains(strings.Join(db.Warnings(), "\n"), "broken") {
				t.Errorf("warnings %q", db.Warnings())
			}
			sites := []int{0, 1, -1}
			if bed.RaceDetector { // the checks are not concurrent, and take most of a minute under it
				sites = sites[:1]
			}
			for _, site := range sites {
				checkSignedAt(t, db, z, signTime, site)
			}
			for _, name := range []string{"hints.abc.com.", "x.hinted.abc.com.", "hintal.abc.com."} { // signed for each site, not as it stands in the file
				var hints []string
				for site := range steeredSites {
					_, m, _ := askedAt(t, db, name, dns.TypeHTTPS, true, site)
					if len(m.Answer) != 1+len(s.Keys.SignZone) {
						t.Fatalf("%s HTTPS at site %d: %v", name, site, m)
					}
					hints = append(hints, m.Answer[0].String())
				}
				if !strings.HasSuffix(hints[0], `ipv4hint="192.0.2.10" ipv6hint="2001:db8::10"`) || !strings.HasSuffix(hints[1], `ipv4hint="192.0.2.20"`) {
					t.Errorf("%q", hints)
				}
			}
			r, _, ok := z.Signing()
			if !ok || r.Made == 0 || !r.Next.After(signTime) {
				t.Errorf("%v %+v", ok, r)
			}
		})
	}
}

// A zone that is signed again is made of what is in memory: it is the same zone
// where nothing is due, and the signatures that still count are used again.
func TestResign(t *testing.T) {
	for name, s := range signings(t) {
		db := signedDB(t, signedExample, s, steeredSample)
		z := db.Zones()[0]
		first, _, _ := z.Signing()
		all := map[string]*dnssec.Signing{z.Name: s}
		at := first.Next.Add(-time.Second)
		db.now = func() time.Time { return at }
		same, err := db.Resign(all)
		if err != nil || same.Zones()[0] != z || same.Steered()[0] == db.Steered()[0] {
			t.Fatalf("%s: before anything is due: %v, another zone or the same steered name", name, err)
		}
		checkSignedAt(t, same, z, at, 1)
		at = first.Next
		due, err := same.Resign(all)
		if err != nil {
			t.Fatal(err)
		}
		next, _, _ := due.Zones()[0].Signing()
		if due.Zones()[0] == z || next.Made == 0 || next.Reused == 0 || next.Made+next.Reused != first.Made {
			t.Errorf("%s: when something is due: %d made, %d used again, of %d", name, next.Made, next.Reused, first.Made)
		}
		checkSignedAt(t, due, due.Zones()[0], at, 0)
		if a, b := own(z), own(due.Zones()[0]); a != b || a != own(read(t, "abc.com.", signedExample)) {
			t.Errorf("%s: the zone's own records are not what they were", name)
		}
		fewer, err := Input{Signing: all, Now: db.now}.withSteered(due, steeredSample[:1])
		if err != nil {
			t.Fatal(err)
		}
		checkSignedAt(t, fewer, fewer.Zones()[0], at, 0)
		if z := fewer.Zones()[0]; z.find(named(t, []byte("\x03far\x04deep\x04down\x03abc\x03com\x00")), 0) != 0 || fewer.Names(z) != db.Names(db.Zones()[0])-4 {
			t.Errorf("%s: names that were steered are still there: %d, were %d", name, fewer.Names(z), db.Names(db.Zones()[0]))
		}
		plain, err := due.Resign(nil)
		if err != nil {
			t.Fatal(err)
		}
		if z := plain.Zones()[0]; z.Signed() || z.denial != noDenial || own(z) != own(read(t, "abc.com.", signedExample)) {
			t.Errorf("%s: without keys the zone is not as it came", name)
		}
	}
}

// withSteered is the DB of the same zones with other steered names.
func (in Input) withSteered(db *DB, steered []SteeredConfig) (*DB, error) {
	next := &DB{list: slices.Clone(db.list), table: db.table.shared(), depths: db.depths, signing: in.Signing, now: in.Now, signed: true}
	return next.complete(nil, steered, steeredSites)
}

// own are the records that a zone has of its own, as text.
func own(z *Zone) string {
	var lines []string
	for owner, set := range z.WalkOwn() {
		for r := range set.Of(owner) {
			lines = append(lines, fmt.Sprintf("%s %d %s %x", strings.ToLower(dnsname.Format(r.Owner)), r.TTL, dns.Type(r.Type), r.Data))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestSerial(t *testing.T) {
	s := signings(t)["nsec"]
	for _, c := range []struct {
		serial Serial
		want   [3]uint32 // as signed first, signed again, unsigned
	}{
		{KeepSerial, [3]uint32{7, 7, 7}},
		{"", [3]uint32{7, 7, 7}},
		{IncrementSerial, [3]uint32{7, 8, 9}},
		{UnixTimeSerial, [3]uint32{uint32(signTime.Unix()), 0, 0}},
	} {
		db, err := Build([]*Zone{read(t, "abc.com.", exampleZone)}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		db.cfgs, db.byCfg = []Config{{Name: "abc.com.", Serial: c.serial}}, db.list
		at := signTime
		db.now = func() time.Time { return at }
		for i, want := range c.want {
			all := map[string]*dnssec.Signing{"abc.com.": s}
			if i == 2 {
				all = nil
			}
			if db, err = db.Resign(all); err != nil {
				t.Fatal(err)
			}
			z := db.Zones()[0]
			if want == 0 {
				want = uint32(at.Unix())
			}
			soa, _ := z.Set(z.apex, dns.TypeSOA)
			if data := soa.first(); z.Serial != want || string(data[len(data)-20:len(data)-16]) != string([]byte{byte(want >> 24), byte(want >> 16), byte(want >> 8), byte(want)}) {
				t.Errorf("%s, %d: serial %d, want %d", c.serial, i, z.Serial, want)
			}
			if r, _, ok := z.Signing(); ok {
				at = r.Next
			}
		}
	}
}

func TestSigningErrors(t *testing.T) {
	s := signings(t)["nsec"]
	for _, c := range []struct{ text, want string }{
		{exampleZone + "mail NSEC abc.com. A\n", "comes signed already"},
		{exampleZone + "@ RRSIG SOA 13 2 300 20300101000000 20250101000000 1 abc.com. AAAA\n", "comes signed already"},
	} {
		db, err := Build([]*Zone{read(t, "abc.com.", c.text)}, nil, nil)
		if err == nil {
			_, err = db.Resign(map[string]*dnssec.Signing{"abc.com.": s})
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v; want %s", err, c.want)
		}
	}
	come := read(t, "abc.com.", exampleZone+"@ RRSIG SOA 13 2 300 20300101000000 20250101000000 1 abc.com. AAAA\n")
	if _, err := Build([]*Zone{come}, steeredSample[:1], steeredSites); err == nil || !strings.Contains(err.Error(), "no keys here to sign its answers with") {
		t.Errorf("a steered name in a zone that comes signed: %v", err)
	}
}
