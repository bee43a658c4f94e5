package replay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gslb/health"
	"gslb/steer"
)

var begin = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func states(kt health.State, load float64) *health.States {
	return &health.States{Sites: map[string]health.Status{"kt": {Site: "kt", State: kt, Load: load, Votes: []health.Vote{{Vantage: "a"}}}}}
}

func topology(sites ...string) *Topology {
	t := &Topology{Names: []Name{{Name: "www.", Policy: steer.Policy{Name: "www."}}}}
	for _, s := range sites {
		t.Sites = append(t.Sites, Site{Site: steer.Site{Name: s}})
	}
	return t
}

func open(t *testing.T, dir string) *Log {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func add(t *testing.T, l *Log, second int, top *Topology, s *health.States) {
	t.Helper()
	if err := l.Add(begin.Add(time.Duration(second)*time.Second), top, s); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, dir string, second int, sites int, state health.State, load float64, lost int) {
	t.Helper()
	r, bad, err := Find(dir, begin.Add(time.Duration(second)*time.Second))
	if err != nil {
		t.Errorf("second %d: %v", second, err)
		return
	}
	if st := r.States.Site("kt"); len(r.Topology.Sites) != sites || st.State != state || st.Load != load || bad != lost || st.Votes != nil {
		t.Errorf("second %d: %d sites, %v, load %v, %d bad; want %d, %v, %v, %d", second, len(r.Topology.Sites), st.State, st.Load, bad, sites, state, load, lost)
	}
}

// What was in force at each time, over a restart, a torn line and one that a disk has spoilt.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := Find(dir, begin); !errors.Is(err, ErrNothing) {
		t.Errorf("an empty folder: %v", err)
	}
	l := open(t, dir)
	add(t, l, 0, topology("kt"), states(health.Up, 1))
	add(t, l, 1, topology("kt"), states(health.Up, 2)) // too soon for a load
	add(t, l, 2, topology("kt"), states(health.Down, 3))
	held := states(health.Down, 3)
	held.Sites["kt"] = health.Status{Site: "kt", State: health.Down, Load: 3, Held: "waits"}
	if alike(l.last.States, held, true) {
		t.Error("a site that is held decides otherwise")
	}
	add(t, l, 20, topology("kt"), states(health.Down, 4))
	add(t, l, 30, topology("kt", "lgu"), states(health.Up, 4))
	if _, _, err := Find(dir, begin.Add(-time.Second)); !errors.Is(err, ErrNothing) {
		t.Errorf("before the first: %v", err)
	}
	for _, w := range []struct {
		second, sites int
		state         health.State
		load          float64
	}{{0, 1, health.Up, 1}, {1, 1, health.Up, 1}, {2, 1, health.Down, 3}, {19, 1, health.Down, 3}, {29, 1, health.Down, 4}, {30, 2, health.Up, 4}, {9999, 2, health.Up, 4}} {
		want(t, dir, w.second, w.sites, w.state, w.load, 0)
	}
	path := filepath.Join(dir, current)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data[:len(data)-9], 0o600); err != nil { // a crash
		t.Fatal(err)
	}
	want(t, dir, 40, 1, health.Down, 4, 1)
	add(t, open(t, dir), 50, topology("kt", "lgu"), states(health.Up, 5))
	want(t, dir, 45, 1, health.Down, 4, 1)
	want(t, dir, 50, 2, health.Up, 5, 1)
}

// However long it runs, the log stays below its bound, and what it still has is found.
func TestBound(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	l.most = 64 << 10
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("site-%d", i))
	}
	var last int
	for i := range 60 {
		many[0] = fmt.Sprint("first-", i) // the topology changes each time
		add(t, l, i, topology(many...), states(health.State(1+2*(i%2)), 0))
		last = i
	}
	total := int64(0)
	for _, name := range []string{current, before} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if most := 2*l.most + 32<<10; total > most {
		t.Errorf("%d bytes, at most %d", total, most)
	}
	want(t, dir, last, len(many), health.State(1+2*(last%2)), 0, 0)
}
