package balancer

import (
	"slices"
	"sync/atomic"
	"time"

	"gslb/health/probe"
)

// frontend is one [[frontend]]: addresses that clients connect to, and the pool
// that serves them. It lives as long as its name stands in the configuration,
// and then until its last connection is gone.
type frontend struct {
	name     string
	pool     *pool
	gate     gate
	counters counters
	cfg      atomic.Pointer[Config] // with defaults
}

// record is what a plane knows of a connection when it ends.
type record struct {
	from     flow    // from.local may be missing: a plane asks the system only where a pick goes by it
	server   *server // nil: none
	began    time.Time
	first    time.Duration // from the beginning to the first byte of the server; 0: there was none
	up, down int64         // bytes from and to the client
	how      ending
}

// ending is how a connection ended.
type ending uint8

const (
	endFinished ending = iota // both ends had finished
	endReset                  // one end reset it
	endTimedOut               // the idle or the close time-out
	endCut                    // by a drain time-out, an order or a failed check
	endRefused                // no server took it
	endDenied                 // admit said no
)

// admit tells whether a client that has connected is to be served. Planes that
// see each connection ask before they ask for a server.
func (f *frontend) admit(flow) bool { return true }

// ended takes in how a connection ended that was accepted: once for each, before
// its ends hear of it.
func (f *frontend) ended(r *record) {
	switch r.how {
	case endReset:
		f.counters.resets.Add(1)
	case endTimedOut:
		f.counters.timedOut.Add(1)
	case endRefused:
		f.counters.refused.Add(1)
	}
}

func (f *frontend) config() *Config { return f.cfg.Load() }

// follow makes the frontend's limits and pool those of cfg.
func (f *frontend) follow(cfg Config, rule *probe.Config) {
	f.cfg.Store(&cfg)
	f.gate.bound(cfg.MaxConnections)
	f.pool.configure(cfg, rule)
}

// drain waits until the frontend has no connections, and resets those that are
// left after most. Nothing is accepted for it any more.
func (f *frontend) drain(most time.Duration) {
	for end := time.Now().Add(most); f.gate.inside() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			f.cut()
			return
		}
	}
}

// cut resets all connections of the frontend, and those that are being made.
func (f *frontend) cut() {
	f.pool.mu.Lock()
	defer f.pool.mu.Unlock()
	f.pool.queue.giveUp()
	for _, s := range slices.Concat(f.pool.servers, f.pool.leaving) {
		f.counters.cut.Add(int64(s.carried.cut()))
	}
}
