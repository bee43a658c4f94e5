package dnsserver

import (
	"path/filepath"
	"testing"

	"github.com/miekg/dns"

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
