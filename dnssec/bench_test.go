package dnssec

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// One signature over one address record.
func BenchmarkSign(b *testing.B) {
	for _, alg := range allAlgorithms {
		b.Run(alg.String(), func(b *testing.B) {
			k := mustKey(b, "example.", alg, CSK)
			owner := mustName(b, "www.example.")
			set := RRset{Type: dns.TypeA, TTL: 300, Data: [][]byte{{192, 0, 2, 1}}}
			b.ReportAllocs()
			for i := uint32(0); b.Loop(); i++ {
				if _, err := k.Sign(owner, dns.ClassINET, &set, Lifespan{i, i + 1}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// large walks a made zone of n names with an address each.
func large(n int) Walk {
	return func(visit func(*Name) error) error {
		apex := Name{Owner: []byte("\x07example\x00"), Sets: []RRset{
			{Type: dns.TypeSOA, TTL: 300, Data: [][]byte{append([]byte("\x01a\x00\x01b\x00"), make([]byte, 20)...)}},
			{Type: dns.TypeNS, TTL: 300, Data: [][]byte{[]byte("\x02ns\x07example\x00")}},
		}}
		if err := visit(&apex); err != nil {
			return err
		}
		host := Name{Sets: []RRset{{Type: dns.TypeA, TTL: 300, Data: [][]byte{make([]byte, 4)}}}}
		for i := range n {
			host.Owner = fmt.Appendf(host.Owner[:0], "\x0bhost%07d\x07example\x00", i)
			host.Sets[0].Data[0][3] = byte(i)
			if err := visit(&host); err != nil {
				return err
			}
		}
		return nil
	}
}

// A whole zone, from scratch and from the cache of the last time. Octets of the
// cache are told for each name, which has two signatures.
func BenchmarkSignZone(b *testing.B) {
	const names = 20000
	k := mustKey(b, "example.", ECDSAP256SHA256, CSK)
	for _, denial := range []Denial{WithNSEC, WithNSEC3} {
		s := Signing{Apex: k.Zone, Keys: use(k), Denial: denial}
		for _, again := range []bool{false, true} {
			b.Run(fmt.Sprintf("NSEC3=%v/again=%v", denial == WithNSEC3, again), func(b *testing.B) {
				run := func() Result {
					r, err := SignZone(s, testTime, large(names), func(*Signed) error { return nil })
					if err != nil {
						b.Fatal(err)
					}
					return r
				}
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				s.Cache = run().Cache
				runtime.GC()
				runtime.ReadMemStats(&after)
				kept := float64(after.HeapAlloc) - float64(before.HeapAlloc)
				runtime.KeepAlive(s.Cache)
				if !again {
					s.Cache = nil
				}
				for b.Loop() {
					run()
				}
				b.ReportMetric(float64(names)*float64(b.N)/b.Elapsed().Seconds(), "names/s")
				b.ReportMetric(kept/names, "cache-B/name")
			})
		}
	}
}

// Steps of a policy are cheap: they may be asked at each look at the clock.
func BenchmarkStep(b *testing.B) {
	now := testTime
	keys := []*Key{mustKey(b, "example.", ED25519, KSK), mustKey(b, "example.", ED25519, ZSK)}
	p := DefaultPolicy
	p.CSK, p.Algorithm = false, ED25519
	for b.Loop() {
		now = now.Add(time.Second)
		p.Step(keys, now)
	}
}
