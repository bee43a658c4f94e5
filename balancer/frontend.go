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
	census   atomic.Pointer[census] // nil unless somebody asks who comes

	entrance  atomic.Pointer[entrance]  // nil: nothing is to be known of clients first
	admission atomic.Pointer[admission] // nil: everybody is let in
	refusals  refusals
	refusing  refusing     // guarded by pool.mu
	entries   chan<- entry // of the connection log
	unlogged  atomic.Int64 // entries that found it full
}

func (f *frontend) config() *Config { return f.cfg.Load() }

// follow makes the frontend's limits and pool those of cfg.
func (f *frontend) follow(cfg Config, rule *probe.Config) {
	f.cfg.Store(&cfg)
	f.admission.Store(admissionOf(&cfg, f.admission.Load()))
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
