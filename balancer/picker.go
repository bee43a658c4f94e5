package balancer

import (
	"maps"
	"slices"
	"sync"
)

// The picks, as they stand in the configuration.
const (
	RoundRobin = "round-robin"
	LeastLoad  = "least-load"
)

// pickers has every way to pick a server. Read only.
var pickers = map[string]func(random func() uint64) picker{
	RoundRobin: func(func() uint64) picker { return new(roundRobin) },
	LeastLoad:  func(random func() uint64) picker { return leastLoad{random} },
}

// Picks returns the names that Config.Pick may have, sorted.
func Picks() []string { return slices.Sorted(maps.Keys(pickers)) }

// A picker chooses the server for a new connection out of a table that has at
// least one candidate. It is called by many goroutines at once.
type picker interface {
	pick(t *table) *server
}

// table is what new connections of one frontend may be given to: an immutable
// value that the manager replaces at every change.
type table struct {
	picker     picker
	candidates []candidate // each may take new connections now
	panic      bool        // no server is healthy: the candidates are all there are
	ramping    bool        // some candidate is in slow start
}

// candidate is one server of a table.
type candidate struct {
	*server
	size float64 // how much it can take, relative to the others; above 0
	ramp float64 // progress of its slow start, above 0 to 1 (done)
	upto float64 // sum of share() up to and including this one
}

// newTable completes the candidates, which state size and ramp, to a table.
func newTable(p picker, candidates []candidate, panic bool) *table {
	t := &table{picker: p, candidates: candidates, panic: panic}
	sum := 0.0
	for i := range candidates {
		sum += candidates[i].share()
		candidates[i].upto = sum
		t.ramping = t.ramping || candidates[i].ramp < 1
	}
	return t
}

// pick returns the server for a new connection, or nil if there is none.
func (t *table) pick() *server {
	switch len(t.candidates) {
	case 0:
		return nil
	case 1:
		return t.candidates[0].server
	}
	return t.picker.pick(t)
}

// elsewhere returns the server for a connection that those in tried did not
// take, or nil if all were tried. Whatever the pick method, it is the least
// loaded of those whose last connect succeeded: a retry must not run into the
// next dead server, which looks idle just because it is dead.
func (t *table) elsewhere(tried []*server) *server {
	var best, doubtful *candidate
	for i := range t.candidates {
		c := &t.candidates[i]
		if slices.Contains(tried, c.server) {
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
		return nil
	}
	return best.server
}

// share is what part of new connections it should get, relative to the others.
func (c *candidate) share() float64 { return c.size * c.ramp }

// score is the load of a server if it took one more connection, relative to its size.
func (c *candidate) score() float64 { return float64(c.open.Load()+1) / c.size }

// roundRobin is smooth weighted round-robin: in each turn every candidate gains
// its share, and the one that has most is picked and pays the sum back. Any
// window of picks is as close to the weights as can be, and a heavy server's
// turns are spread, not bunched.
type roundRobin struct {
	mu sync.Mutex // guards server.turn of all servers of the pool
}

func (r *roundRobin) pick(t *table) *server {
	r.mu.Lock()
	defer r.mu.Unlock()
	var best *candidate
	for i := range t.candidates {
		c := &t.candidates[i]
		c.turn += c.share()
		if best == nil || c.turn > best.turn {
			best = c
		}
	}
	best.turn -= t.candidates[len(t.candidates)-1].upto
	return best.server
}

// few is the number of candidates up to which leastLoad looks at all of them.
const few = 4

// leastLoad picks by connections in flight over size, as this balancer itself
// counts them: no report can be older than that. Of a few candidates it takes
// the least loaded. Of more it takes the better of two that it draws by share:
// nearly as good, and when several balancers pick, they do not all run to the
// same server.
type leastLoad struct {
	random func() uint64
}

func (l leastLoad) pick(t *table) *server {
	if len(t.candidates) <= few {
		return l.leastOfAll(t)
	}
	a, b := l.draw(t), l.draw(t)
	if a == b {
		b = l.draw(t) // once more; the same again is an outcome too
	}
	if b.score() < a.score() {
		a = b
	}
	return a.server
}

// leastOfAll looks at all candidates, but a server in slow start only takes
// part in as large a share of the picks as its ramp: it is nearly idle, and
// would win every pick until its connections are up to the others'.
func (l leastLoad) leastOfAll(t *table) *server {
	var best, resting *candidate
	n := len(t.candidates)
	first := int(unit(l.random()) * float64(n)) // equals share: no server is first always
	for i := range n {
		c := &t.candidates[(first+i)%n]
		which := &best
		if c.ramp < 1 && unit(l.random()) >= c.ramp {
			which = &resting
		}
		if *which == nil || c.score() < (*which).score() {
			*which = c
		}
	}
	if best == nil {
		best = resting // all are in slow start
	}
	return best.server
}

// draw returns a candidate at random, in proportion to share.
func (l leastLoad) draw(t *table) *candidate {
	low, high := 0, len(t.candidates)-1
	at := unit(l.random()) * t.candidates[high].upto
	for low < high { // sort.Search would cost a call for each step
		middle := int(uint(low+high) / 2)
		if t.candidates[middle].upto > at {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return &t.candidates[low]
}

// unit maps a random number to [0,1).
func unit(r uint64) float64 { return float64(r>>11) / (1 << 53) }
