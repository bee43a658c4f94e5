package dnsserver

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnssec"
	"gslb/health"
)

// timed is an answer whose cost is compared with that of others.
type timed struct {
	name   string
	s      *Server
	w      *responder
	msg    []byte
	rounds []time.Duration // of a batch, in each round
}

// interleave answers all of them in turn, a batch each, so that whatever else the
// machine does hits them alike.
func interleave(b *testing.B, all []*timed) {
	out := make([]byte, 0, maxMessage+maxRecordHead)
	for _, t := range all {
		t.w.batched = true
	}
	for b.Loop() {
		for _, t := range all {
			begin := time.Now()
			for range 100 {
				t.s.answer(t.w, t.msg, source, false, out)
			}
			t.rounds = append(t.rounds, time.Since(begin))
		}
	}
}

// times is the median, over the rounds, of what t takes beside another.
func (t *timed) times(other *timed) float64 {
	var list []float64
	for i := range t.rounds {
		list = append(list, float64(t.rounds[i])/float64(other.rounds[i]))
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// BenchmarkSignedRate is the rate of signed answers beside that of unsigned ones of
// the same size, over all that an answer takes but for the system's part.
func BenchmarkSignedRate(b *testing.B) {
	text := testZone + "padded TXT \"" + strings.Repeat("x", 106) + "\"\n"
	s, w, _ := signedSteeredIn(b, text, dnssec.WithNSEC, health.Up)
	signed := &timed{name: "signed", s: s, w: w, msg: query(b, "static.abc.com.", dns.TypeA, edns(1232, true))}
	plain := &timed{name: "unsigned", s: s, w: w, msg: query(b, "padded.abc.com.", dns.TypeTXT, edns(1232, false))}
	var sizes []int
	for _, t := range []*timed{signed, plain} {
		sizes = append(sizes, len(s.answer(w, t.msg, source, false, make([]byte, 0, maxMessage+maxRecordHead))))
	}
	if sizes[0] != sizes[1] {
		b.Fatalf("answers of %v octets cannot be compared", sizes)
	}
	interleave(b, []*timed{signed, plain})
	b.ReportMetric(plain.times(signed), "rate-of-unsigned")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSignedKinds is what each kind of answer with DO costs beside that of one
// RRset with its signature.
func BenchmarkSignedKinds(b *testing.B) {
	for _, kind := range signedKinds[:2] {
		s, w := signedServer(b, kind)
		steered, sw, _ := signedSteered(b, map[string]dnssec.Denial{"nsec": dnssec.WithNSEC, "nsec3": dnssec.WithNSEC3}[kind], health.Down)
		var all []*timed
		for _, q := range signedQuestions {
			all = append(all, &timed{name: q.what, s: s, w: w, msg: query(b, q.name, q.qtype, edns(1232, true))})
		}
		for _, q := range []struct {
			name  string
			qtype uint16
		}{{"www.abc.com.", dns.TypeA}, {"app.abc.com.", dns.TypeAAAA}, {"x.cdn.abc.com.", dns.TypeA}, {"x.cdn.abc.com.", dns.TypeAAAA}, {"flat.abc.com.", dns.TypeA}, {"plain.abc.com.", dns.TypeA}} {
			all = append(all, &timed{name: q.name + dns.TypeToString[q.qtype], s: steered, w: sw, msg: query(b, q.name, q.qtype, edns(1232, true))})
		}
		b.Run(kind, func(b *testing.B) {
			interleave(b, all)
			for _, t := range all {
				b.ReportMetric(t.times(all[0]), "x-"+t.name)
			}
		})
	}
}
