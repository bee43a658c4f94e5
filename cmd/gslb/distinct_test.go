package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gslb/steer"
)

// Names that steer alike share the policy of the first of them, whatever they are
// called, and each thing that steers otherwise tells them apart.
func TestDistinct(t *testing.T) {
	to := func(sites ...int) steer.Policy {
		var members []steer.Member
		for _, s := range sites {
			members = append(members, steer.Member{Site: s, Weight: 1})
		}
		return steer.Policy{TTL: time.Minute, Rules: []steer.Rule{{Tiers: []steer.Target{{Members: members}}}}}
	}
	with := func(p steer.Policy, change func(p *steer.Policy)) steer.Policy {
		change(&p)
		return p
	}
	all := []steer.Policy{
		to(0), to(1), to(0, 1), to(0),
		with(to(0), func(p *steer.Policy) { p.TTL = time.Second }),
		with(to(0), func(p *steer.Policy) { p.Release = "www.example." }),
		with(to(0), func(p *steer.Policy) { p.LastResort = p.Rules[0].Tiers }),
		with(to(0), func(p *steer.Policy) { p.Audiences = []steer.Audience{{Name: "kt"}} }),
		with(to(0), func(p *steer.Policy) { p.Rules[0].Match.ASN = []uint32{4766} }),
		to(1),
		with(to(0), func(p *steer.Policy) { p.Measured = []steer.Measurement{{ASN: []uint32{4766}}} }),
	}
	for i := range all {
		all[i].Name = fmt.Sprintf("n%d.", i)
	}
	sources, index := distinct(all)
	if want := []int{0, 1, 2, 0, 3, 4, 5, 6, 7, 1, 8}; !slices.Equal(index, want) {
		t.Errorf("got %v, want %v", index, want)
	}
	for i := range all {
		if !samePolicy(sources[index[i]], all[i]) {
			t.Errorf("policy %d has that of %s, which steers otherwise", i, sources[index[i]].Name)
		}
		if first := slices.Index(index, index[i]); sources[index[i]].Name != all[first].Name {
			t.Errorf("policy %d: the shared one is called %s, not as the first, %s", i, sources[index[i]].Name, all[first].Name)
		}
	}
}

func BenchmarkDistinct(b *testing.B) {
	all := make([]steer.Policy, 5000)
	for i := range all {
		all[i] = steer.Policy{Name: fmt.Sprint(i), TTL: time.Duration(i), Rules: []steer.Rule{{Tiers: []steer.Target{{Members: []steer.Member{{Site: 0}, {Site: 1}}}}}}}
	}
	for b.Loop() {
		distinct(all)
	}
}
