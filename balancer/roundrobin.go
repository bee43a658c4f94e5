package balancer

import (
	"sync"
	"sync/atomic"
)

// roundRobin gives each candidate as many connections as any other, in turn. A
// server in slow start passes on turns, so that it takes its ramp's part of them.
type roundRobin struct {
	random func() uint64
	turn   atomic.Uint64
}

func (r *roundRobin) pick(t *table, _ flow) *server {
	n := uint64(len(t.candidates))
	for range n {
		c := &t.candidates[r.turn.Add(1)%n]
		if c.ramp >= 1 || unit(r.random()) < c.ramp {
			return c.server
		}
	}
	return t.candidates[r.turn.Add(1)%n].server // all are in slow start
}

// weighted is smooth weighted round-robin, as in nginx
// (ngx_http_upstream_get_peer): in each turn every candidate gains its share,
// and the one that has most is picked and pays the sum back. Any window of picks
// is as close to the weights as can be, and a heavy server's turns are spread,
// not bunched. The turns of all servers are one state, hence the lock.
type weighted struct {
	mu sync.Mutex // guards server.turn of all servers of the pool
}

func (w *weighted) pick(t *table, _ flow) *server {
	w.mu.Lock()
	defer w.mu.Unlock()
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
