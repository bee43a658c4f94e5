package dnsserver

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
	"gslb/geo"
	"gslb/health"
	"gslb/steer"
	"gslb/zones"
)

// signedServer serves a zone that came signed, a file of zones/testdata.
func signedServer(t testing.TB, kind string) (*Server, *responder) {
	t.Helper()
	z, err := zones.ReadFile(zones.Config{Name: "signed.example.", File: filepath.Join("..", "zones", "testdata", kind+".zone")})
	if err != nil {
		t.Fatal(err)
	}
	db, err := zones.Build([]*zones.Zone{z}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{}, discard())
	s.Swap(NewGeneration(Inputs{DB: db}))
	return s, s.responder(0, s.newCounters())
}

var signedKinds = []string{"nsec", "nsec3", "optout"}

// signedQuestions are one of each kind of answer, in a zone of zones/testdata.
var signedQuestions = []struct {
	what, name string
	qtype      uint16
}{
	{"positive", "ns1.signed.example.", dns.TypeA},
	{"alias", "upper.signed.example.", dns.TypeA},
	{"nxdomain", "k3j9x.signed.example.", dns.TypeA},
	{"nxdomain-deep", "k3j9x.b.c.ent.signed.example.", dns.TypeA},
	{"nodata", "ns1.signed.example.", dns.TypeTXT},
	{"ent", "c.ent.signed.example.", dns.TypeA},
	{"wildcard", "foo.wild.signed.example.", dns.TypeTXT},
	{"wild-nodata", "foo.wild.signed.example.", dns.TypeMX},
	{"secure", "x.secure.signed.example.", dns.TypeA},
	{"insecure", "x.insecure.signed.example.", dns.TypeA},
	{"optout", "deep.only.optout.signed.example.", dns.TypeDS},
	{"ds", "secure.signed.example.", dns.TypeDS},
	{"dname", "x.tree.signed.example.", dns.TypeA},
	{"mx", "signed.example.", dns.TypeMX},
	{"rrsig", "ns1.signed.example.", dns.TypeRRSIG},
	{"any", "ns1.signed.example.", dns.TypeANY},
}

// Answers of signed zones allocate nothing, and are the same from what is ready
// and through the encoder. AD is never set: RFC 4035, section 3.1.6.
func TestSignedAnswers(t *testing.T) {
	out := make([]byte, 0, maxMessage+maxRecordHead)
	for _, kind := range signedKinds {
		s, w := signedServer(t, kind)
		for _, q := range signedQuestions {
			msg := query(t, q.name, q.qtype, edns(1232, true))
			if n := testing.AllocsPerRun(100, func() { s.answer(w, msg, source, false, out) }); n != 0 {
				t.Errorf("%s %s: %v allocations", kind, q.what, n)
			}
			m := answer(t, s, w, msg, false)
			signatures := 0
			for _, rr := range append(m.Answer, m.Ns...) {
				if rr.Header().Rrtype == dns.TypeRRSIG {
					signatures++
				}
			}
			if signatures == 0 || m.AuthenticatedData || m.Truncated || !m.IsEdns0().Do() {
				t.Errorf("%s %s: %d signatures\n%s", kind, q.what, signatures, m)
			}
			plain := answer(t, s, w, query(t, q.name, q.qtype), false)
			for _, rr := range append(plain.Answer, plain.Ns...) {
				if h := rr.Header(); (h.Rrtype == dns.TypeRRSIG || h.Rrtype == dns.TypeNSEC || h.Rrtype == dns.TypeNSEC3) && h.Rrtype != q.qtype && q.qtype != dns.TypeANY {
					t.Errorf("%s %s without DO: %s", kind, q.what, rr)
				}
			}
		}
	}
}

// A signed answer that does not fit is cut between RRsets, with TC; a signature
// is never there without its RRset, nor the other way round.
func TestSignedAnswersTruncated(t *testing.T) {
	for _, kind := range signedKinds {
		s, w := signedServer(t, kind)
		for _, q := range signedQuestions {
			for size := 512; size < 1232; size += 40 {
				out := s.answer(w, query(t, q.name, q.qtype, edns(uint16(size), true)), source, false, make([]byte, 0, maxMessage+maxRecordHead))
				m := new(dns.Msg)
				if err := m.Unpack(out); err != nil {
					t.Fatal(err)
				}
				whole := answer(t, s, w, query(t, q.name, q.qtype, edns(4096, true)), true)
				missing := len(m.Answer) < len(whole.Answer) || len(m.Ns) < len(whole.Ns)
				if len(out) > size || missing != m.Truncated {
					t.Errorf("%s %s, size %d: %d octets, TC %v, %d and %d records of %d and %d", kind, q.what, size, len(out), m.Truncated, len(m.Answer), len(m.Ns), len(whole.Answer), len(whole.Ns))
				}
				for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
					for _, rr := range section {
						if sig, ok := rr.(*dns.RRSIG); ok && q.qtype != dns.TypeRRSIG && !has(section, sig.TypeCovered) {
							t.Errorf("%s %s, size %d: %s alone", kind, q.what, size, sig)
						}
					}
				}
			}
		}
	}
}

func has(section []dns.RR, rrtype uint16) bool {
	for _, rr := range section {
		if rr.Header().Rrtype == rrtype {
			return true
		}
	}
	return false
}

// BenchmarkSigned is a whole answer with DO from a zone that came signed.
func BenchmarkSigned(b *testing.B) {
	out := make([]byte, 0, maxMessage+maxRecordHead)
	for _, kind := range signedKinds[:2] {
		s, w := signedServer(b, kind)
		for _, q := range signedQuestions {
			msg := query(b, q.name, q.qtype, edns(1232, true))
			b.Run(kind+"/"+q.what, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					s.answer(w, msg, source, false, out)
				}
			})
		}
	}
}

// signedSteered serves a zone that is signed here, with steered names at two
// sites, of which the second has no IPv6; the first is in the given state.
func signedSteered(t testing.TB, denial dnssec.Denial, first health.State) (*Server, *responder, *dnssec.Key) {
	t.Helper()
	return signedSteeredIn(t, testZone, denial, first)
}

// signedSteeredIn is signedSteered in a zone of this text.
func signedSteeredIn(t testing.TB, text string, denial dnssec.Denial, first health.State, change ...func(*dnssec.Signing)) (*Server, *responder, *dnssec.Key) {
	t.Helper()
	z, err := zones.Read(zones.Config{Name: "abc.com.", File: "abc.com.zone"}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	apex, _ := dnsname.Parse("abc.com.")
	now := time.Now()
	k, err := dnssec.Generate(apex, dnssec.ECDSAP256SHA256, 0, dnssec.CSK, dnssec.Timing{Created: now, Publish: now, Activate: now})
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr
	db, err := zones.Build([]*zones.Zone{z}, []zones.SteeredConfig{
		{Name: "www.abc.com.", TTL: 30 * time.Second, TroubleTTL: 5 * time.Second, Sites: []int{0, 1}},
		{Name: "app.abc.com.", Form: zones.Address, TTL: 30 * time.Second, TroubleTTL: 5 * time.Second, Sites: []int{0, 1}},
		{Name: "*.cdn.abc.com.", Form: zones.Address, TTL: 30 * time.Second, TroubleTTL: 5 * time.Second, Sites: []int{0, 1}},
	}, []zones.Site{
		{Name: "kt", CNAME: "a.www.abc.com.", Addresses: []netip.Addr{addr("192.0.2.10"), addr("2001:db8::10")}},
		{Name: "lgu", CNAME: "b.www.abc.com.", Addresses: []netip.Addr{addr("192.0.2.20")}},
	})
	if err == nil {
		keys := []*dnssec.Key{k}
		signing := &dnssec.Signing{Keys: dnssec.Plan{Publish: keys, SignKeys: keys, SignZone: keys, CDS: keys}, Denial: denial}
		for _, f := range change {
			f(signing)
		}
		db, err = db.Resign(map[string]*dnssec.Signing{"abc.com.": signing})
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := steer.Compile(&steer.Policy{Name: "p", TTL: 30 * time.Second, Rules: []steer.Rule{{Tiers: []steer.Target{tier(steer.Nearest, 0), tier(steer.Nearest, 1)}}}}, []steer.Site{{Name: "kt"}, {Name: "lgu"}})
	if err != nil {
		t.Fatal(err)
	}
	table := geo.Build(nil, nil, func(p geo.Place, w netip.Prefix) uint32 { return c.Classify(p, w, nil) })
	s := New(Config{}, discard())
	s.Swap(NewGeneration(Inputs{DB: db, Policies: []Policy{{c, table}}, Sites: []string{"kt", "lgu"}, States: &health.States{Revision: 1, Sites: map[string]health.Status{"kt": {Site: "kt", State: first}, "lgu": {Site: "lgu", State: health.Up}}}}))
	return s, s.responder(0, s.newCounters()), k
}

// Answers of steered names in a signed zone have the signature of the site that
// is chosen, before and after a site goes down, and allocate nothing.
func TestSignedSteered(t *testing.T) {
	out := make([]byte, 0, maxMessage+maxRecordHead)
	for _, denial := range []dnssec.Denial{dnssec.WithNSEC, dnssec.WithNSEC3} {
		for _, state := range []health.State{health.Up, health.Down} {
			s, w, k := signedSteered(t, denial, state)
			for _, q := range []struct {
				name     string
				qtype    uint16
				up, down string
			}{
				{"www.abc.com.", dns.TypeA, "a.www.abc.com.", "b.www.abc.com."},
				{"app.abc.com.", dns.TypeA, "192.0.2.10", "192.0.2.20"},
				{"app.abc.com.", dns.TypeAAAA, "2001:db8::10", ""},
				{"foo.cdn.abc.com.", dns.TypeA, "192.0.2.10", "192.0.2.20"},
				{"foo.cdn.abc.com.", dns.TypeAAAA, "2001:db8::10", ""},
				{"app.abc.com.", dns.TypeTXT, "", ""},
				{"flat.abc.com.", dns.TypeA, "192.0.2.10", "192.0.2.20"},
				{"plain.abc.com.", dns.TypeA, "192.0.2.99", "192.0.2.99"},
				{"plain.abc.com.", dns.TypeAAAA, "", ""},
				{"toplain.abc.com.", dns.TypeA, "plain.abc.com.", "plain.abc.com."},
				{"x.flat.abc.com.", dns.TypeA, "192.0.2.10", "192.0.2.20"},
				{"x.flat.abc.com.", dns.TypeTXT, "", ""},
			} {
				want := q.up
				if state == health.Down {
					want = q.down
				}
				msg := query(t, q.name, q.qtype, edns(1232, true))
				if n := testing.AllocsPerRun(100, func() { s.answer(w, msg, source, false, out) }); n != 0 {
					t.Errorf("%s %s: %v allocations", q.name, dns.Type(q.qtype), n)
				}
				m := answer(t, s, w, msg, false)
				if (len(m.Answer) > 0) != (want != "") || want != "" && !strings.HasSuffix(m.Answer[0].String(), "\t"+want) {
					t.Errorf("%s %s, %v: want %q\n%s", q.name, dns.Type(q.qtype), state, want, m)
				}
				verifyAll(t, m, k)
			}
		}
	}
}

// verifyAll checks the signatures of all RRsets of answer and authority, and
// that no owner has two NSEC records.
func verifyAll(t *testing.T, m *dns.Msg, k *dnssec.Key) {
	t.Helper()
	rr, err := dns.NewRR(fmt.Sprintf("abc.com. DNSKEY \\# %d %x", len(k.DNSKEY()), k.DNSKEY()))
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		sets := map[string][]dns.RR{}
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeRRSIG {
				id := fmt.Sprint(strings.ToLower(h.Name), h.Rrtype)
				sets[id] = append(sets[id], rr)
			}
		}
		for _, rr2 := range section {
			sig, ok := rr2.(*dns.RRSIG)
			if !ok {
				continue
			}
			id := fmt.Sprint(strings.ToLower(sig.Hdr.Name), sig.TypeCovered)
			if err := sig.Verify(rr.(*dns.DNSKEY), sets[id]); err != nil {
				t.Errorf("%s: %v\n%s", id, err, m)
			}
			delete(sets, id)
		}
		for id := range sets {
			t.Errorf("%s has no signature\n%s", id, m)
		}
	}
}

// BenchmarkSignedSteered is a whole answer of a steered name with DO.
func BenchmarkSignedSteered(b *testing.B) {
	s, w, _ := signedSteered(b, dnssec.WithNSEC, health.Up)
	out := make([]byte, 0, maxMessage+maxRecordHead)
	for _, name := range []string{"www.abc.com.", "app.abc.com.", "foo.cdn.abc.com."} {
		msg := query(b, name, dns.TypeA, edns(1232, true))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.answer(w, msg, source, false, out)
			}
		})
	}
}

// FuzzSigned asks a signed zone for anything: the answer can be read, and has no
// more than the client takes.
func FuzzSigned(f *testing.F) {
	type side struct {
		s *Server
		w *responder
	}
	var sides []side
	for _, kind := range signedKinds {
		s, w := signedServer(f, kind)
		sides = append(sides, side{s, w})
	}
	s, w, _ := compactZone(f, unlimited)
	sides = append(sides, side{s, w})
	for _, q := range signedQuestions {
		f.Add(query(f, q.name, q.qtype, edns(1232, true)))
	}
	for _, name := range []string{"none.abc.com.", "*.none.abc.com.", strings.Repeat("x.", 122) + "abc.com.", strings.Repeat("x.", 123) + "abc.com."} {
		f.Add(query(f, name, dns.TypeA, edns(1232, true), wantsCO))
	}
	out := make([]byte, 0, maxMessage+maxRecordHead)
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, side := range sides {
			reply := side.s.answer(side.w, msg, source, false, out)
			if len(reply) > 1232 {
				t.Fatalf("%d octets", len(reply))
			}
			if len(reply) > 0 && new(dns.Msg).Unpack(reply) != nil {
				t.Fatalf("%x answered with %x", msg, reply)
			}
		}
		for _, side := range sides {
			if n := side.s.Stats().Panics; n > 0 {
				t.Fatalf("%d panics", n)
			}
		}
	})
}
