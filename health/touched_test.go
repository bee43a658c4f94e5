package health

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestTouched: to judge only the sites of which something else is said gives what
// judging all of them gives, whatever is said, in whatever order.
func TestTouched(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 9))
		data := make([]byte, 1<<14)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		m := &material{data}
		all := Input{Sites: []string{"site-a", "site-b", "site-c", "site-d"}, Now: noon,
			Rejoin:      map[string]Rejoin{"site-a": {SlowStart: 30 * time.Second}, "site-b": {FlapLimit: 2, FlapHalf: time.Minute}},
			Maintenance: map[string][]Window{"site-c": {{From: noon.Add(40 * time.Second), For: 20 * time.Second}}}}
		var whole, parts *States
		for step := range 40 {
			all.Now = all.Now.Add(time.Duration(rng.IntN(20)) * time.Second)
			touched := map[string]bool{}
			for _, site := range all.Sites {
				if rng.IntN(3) == 0 {
					touched[site] = true
				}
			}
			more := m.input()
			all.Votes = append(slices.DeleteFunc(slices.Clone(all.Votes), func(v Vote) bool { return touched[v.Site] }), slices.DeleteFunc(more.Votes, func(v Vote) bool { return !touched[v.Site] })...)
			all.Reports = append(slices.DeleteFunc(slices.Clone(all.Reports), func(r Report) bool { return touched[r.Site] }), slices.DeleteFunc(more.Reports, func(r Report) bool { return !touched[r.Site] })...)
			if rng.IntN(4) == 0 {
				all.Overrides = more.Overrides
			}
			part := all
			if part.Prev = parts; step > 0 {
				part.Touched = touched
				part.Votes = slices.DeleteFunc(slices.Clone(all.Votes), func(v Vote) bool { return !touched[v.Site] })
				part.Reports = slices.DeleteFunc(slices.Clone(all.Reports), func(r Report) bool { return !touched[r.Site] })
			}
			all.Prev = whole
			whole, parts = Evaluate(all), Evaluate(part)
			if !reflect.DeepEqual(whole, parts) {
				t.Fatalf("seed %d, step %d, touched %v:\n%+v\n%+v", seed, step, touched, whole, parts)
			}
		}
	}
}

// BenchmarkEvaluateFleet judges a thousand sites, of which one or all are touched.
func BenchmarkEvaluateFleet(b *testing.B) {
	in := Input{Now: noon}
	for i := range 1000 {
		s := string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		in.Sites = append(in.Sites, s)
		in.Votes = append(in.Votes, votes(s, "UUUUU")...)
	}
	first := Evaluate(in)
	in.Prev = first
	one := in
	one.Touched, one.Votes = map[string]bool{in.Sites[0]: true}, in.Votes[:5]
	for name, in := range map[string]Input{"one": one, "all": in} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Evaluate(in)
			}
		})
	}
}
