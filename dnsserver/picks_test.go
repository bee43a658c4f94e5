package dnsserver

import "testing"

// What has been counted of a name and a site is kept over reloads, whatever else
// comes, goes or moves.
func TestCountsOverReloads(t *testing.T) {
	p := newPicks([]string{"a.", "b."}, []string{"kt", "lgu"})
	counts := func(name, site string) uint64 {
		for i, n := range p.names {
			for j, s := range p.sites {
				if n == name && s == site {
					return p.get(i, j)
				}
			}
		}
		t.Fatalf("%s %s is not there", name, site)
		return 0
	}
	p.add(0, 0, 0)
	p.add(9, 1, 1)
	p.add(2, 1, 1)
	same := newPicks([]string{"a.", "b."}, []string{"kt", "lgu"}).after(p)
	if same != p {
		t.Error("nothing has changed, and the counters are others")
	}
	for _, next := range []struct{ names, sites []string }{
		{[]string{"b.", "a."}, []string{"kt", "lgu"}},
		{[]string{"b.", "a."}, []string{"lgu", "new", "kt"}},
		{[]string{"c.", "b.", "a."}, []string{"kt", "lgu"}},
	} {
		p = newPicks(next.names, next.sites).after(p)
		if counts("a.", "kt") != 1 || counts("b.", "lgu") != 2 || counts("a.", "lgu") != 0 {
			t.Fatalf("%v %v: %d %d %d", p.names, p.sites, counts("a.", "kt"), counts("b.", "lgu"), counts("a.", "lgu"))
		}
	}
	if counts("c.", "kt") != 0 {
		t.Error("a new name has counts")
	}
	for i, name := range p.names {
		if name == "b." {
			p.add(3, i, 1)
		}
	}
	if p = newPicks([]string{"b."}, []string{"lgu"}).after(p); counts("b.", "lgu") != 3 {
		t.Errorf("%d, want 3", counts("b.", "lgu"))
	}
}

// The server's counts do not fall when the next generation is swapped in.
func TestSwapKeepsCounts(t *testing.T) {
	s, _ := server(t, nil)
	g := s.Generation()
	g.picked.add(0, 0, 1)
	next := NewGeneration(Inputs{DB: g.DB, Policies: g.policies, Sites: []string{"b", "a"}, States: g.States})
	s.Swap(next)
	if by := s.Stats().Picked["www.abc.com."]; by[0] != 1 || by[1] != 0 {
		t.Errorf("%v after the sites changed places", by)
	}
	again := NewGeneration(Inputs{DB: g.DB, Policies: g.policies, Sites: []string{"b", "a"}, States: g.States})
	before := s.Generation()
	if s.Swap(again); s.Generation().picked != before.picked || &s.Generation().turns[0] != &before.turns[0] {
		t.Error("nothing has changed, and counts or rotations begin anew")
	}
	s.Swap(s.Generation().WithStates(g.States))
	if by := s.Stats().Picked["www.abc.com."]; by[0] != 1 {
		t.Errorf("%v after a change of states", by)
	}
}
