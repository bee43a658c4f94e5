package balancer

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// The picks, as they stand in the configuration.
const (
	RoundRobin       = "round-robin"
	Weighted         = "weighted"
	LeastConnections = "least-connections"
	LeastLoad        = "least-load"
	Latency          = "latency"
	Maglev           = "maglev"
	Hash             = "hash"
)

// sources are what a picker gets from outside.
type sources struct {
	random func() uint64
	now    func() time.Time
}

// pickers has every way to pick a server. Read only.
var pickers = map[string]func(sources) picker{
	RoundRobin:       func(from sources) picker { return &roundRobin{random: from.random} },
	Weighted:         func(sources) picker { return new(weighted) },
	LeastConnections: func(from sources) picker { return leastConnections{from.random} },
	LeastLoad:        func(from sources) picker { return leastLoad{from.random} },
	Latency:          func(from sources) picker { return latency(from) },
	Maglev:           func(sources) picker { return new(maglev) },
	Hash:             func(sources) picker { return rendezvous{} },
}

// Picks returns the names that Config.Pick may have, sorted.
func Picks() []string { return slices.Sorted(maps.Keys(pickers)) }

// A picker chooses the server for a new connection out of a table that has at
// least one candidate. It is called by many goroutines at once.
type picker interface {
	pick(t *table, f flow) *server
}

// A preparer is a picker that has work to do once for each table, before the
// first pick. It is called by one goroutine at a time.
type preparer interface {
	prepare(t *table)
}

// table is what new connections of one frontend may be given to: an immutable
// value that the manager replaces at every change.
type table struct {
	picker     picker
	candidates []candidate // each may take new connections now
	farther    []candidate // likewise, when none of the candidates can: servers of other zones
	panic      bool        // no server is healthy: the candidates are all there are
	ramping    bool        // some candidate is in slow start
	whole      bool        // hash picks hash the whole flow, not the client's address alone
	seed       uint64      // of that hash
	slots      []uint16    // Maglev's lookup table: indexes of candidates
}

// candidate is one server of a table.
type candidate struct {
	*server
	size float64 // how much it can take, relative to the others; above 0
	ramp float64 // progress of its slow start, above 0 to 1 (done)
	upto float64 // sum of share() up to and including this one
}

// newTable completes t, whose candidates state size and ramp.
func newTable(t table) *table {
	sum := 0.0
	for i := range t.candidates {
		sum += t.candidates[i].share()
		t.candidates[i].upto = sum
		t.ramping = t.ramping || t.candidates[i].ramp < 1
	}
	if p, ok := t.picker.(preparer); ok && len(t.candidates) > 1 {
		p.prepare(&t)
	}
	return &t
}

// pick returns the server for a new connection, or nil if there is none.
func (t *table) pick(f flow) *server {
	switch len(t.candidates) {
	case 0:
		return nil
	case 1:
		return t.candidates[0].server
	}
	return t.picker.pick(t, f)
}

// elsewhere returns the server for a connection that those in tried did not
// take, or nil if all were tried or have no room; full is one that has none.
// Whatever the pick method, it is the least loaded of those whose last connect
// succeeded: a retry must not run into the next dead server, which looks idle
// just because it is dead. Those of other zones come last.
func (t *table) elsewhere(tried []*server) (s, full *server) {
	s, full = leastLoaded(t.candidates, tried)
	if s == nil {
		var other *server
		s, other = leastLoaded(t.farther, tried)
		full = cmp.Or(full, other)
	}
	return s, full
}

func leastLoaded(candidates []candidate, tried []*server) (s, full *server) {
	var best, doubtful *candidate
	for i := range candidates {
		c := &candidates[i]
		if slices.Contains(tried, c.server) {
			continue
		}
		if !c.room() {
			full = c.server
			continue
		}
		which := &best
		if c.streak.Load() > 0 {
			which = &doubtful
		}
		if *which == nil || c.score() < (*which).score() {
			*which = c
		}
	}
	if best == nil {
		best = doubtful
	}
	if best == nil {
		return nil, full
	}
	return best.server, full
}

// share is what part of new connections it should get, relative to the others.
func (c *candidate) share() float64 { return c.size * c.ramp }

// score is the load of a server if it took one more connection, relative to its size.
func (c *candidate) score() float64 { return float64(c.open.Load()+1) / c.size }

// unit maps a random number to [0,1).
func unit(r uint64) float64 { return float64(r>>11) / (1 << 53) }
