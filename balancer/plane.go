package balancer

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// A plane carries the connections of frontends from clients to servers. It asks
// a frontend's pool.table for the server of each new connection, tells the pool
// how each connect went, and counts in frontend.counters and in the servers. It
// decides nothing about health.
//
// The proxy plane moves bytes between two sockets. A plane that leaves that to
// the kernel (nat, dsr) follows pool.table instead of asking it.
type plane interface {
	// name is the word for the plane in Status.
	name() string
	// takes tells whether frontends of this configuration (with defaults) are this plane's.
	takes(c *Config) bool
	// prepare readies the plane to serve exactly these frontends, without taking
	// anything for a new one. Then either commit or undo is called, once; neither
	// can fail. After undo, or an error, everything is as before. A listener whose
	// address stays is kept, queue included, even if it goes to another frontend.
	// Established connections are not touched.
	prepare(bindings []binding) (change, error)
	// run takes connections until ctx ends; then it stops listening, lets the
	// connections finish, resets what is left of a frontend after its
	// DrainTimeout, and returns when nothing is left. It is called once.
	run(ctx context.Context)
	// addrs returns where the frontend's listeners are, in the order of
	// Config.Listen; none if the frontend is not this plane's.
	addrs(f *frontend) []net.Addr
}

// change is a prepared change of a plane.
type change struct{ commit, undo func() }

// binding is a frontend and the configuration (with defaults) that it is to have.
type binding struct {
	front *frontend
	cfg   *Config
}

// counters is what a plane counts for a frontend.
type counters struct {
	accepted     atomic.Int64 // connections taken from clients
	refused      atomic.Int64 // reset because no server took them
	queueFull    atomic.Int64 // refused because the queue was full
	retried      atomic.Int64 // connects tried again on another server
	localErrors  atomic.Int64 // connects that failed for want of descriptors, ports or memory here
	acceptErrors atomic.Int64 // accepts that failed, mostly for want of descriptors
	resets       atomic.Int64 // ended by a reset of either end
	timedOut     atomic.Int64 // ended by the idle or close time-out
	cut          atomic.Int64 // ended by a drain time-out
	spliced      atomic.Int64 // bytes moved without a copy

	queueTimeouts atomic.Int64 // refused because they waited in the queue for too long
}

// carried is the set of connections that a plane has to one server, so that
// they can be cut. The zero carried is empty.
type carried struct {
	mu      sync.Mutex
	conns   map[interface{ abort() }]struct{} // guarded by mu
	severed bool                              // guarded by mu; after cut: no further connections
}

// add reports false if the server's connections were cut: c must end, too.
func (c *carried) add(conn interface{ abort() }) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.severed {
		return false
	}
	if c.conns == nil {
		c.conns = map[interface{ abort() }]struct{}{}
	}
	c.conns[conn] = struct{}{}
	return true
}

func (c *carried) remove(conn interface{ abort() }) {
	c.mu.Lock()
	delete(c.conns, conn)
	c.mu.Unlock()
}

// cut aborts all connections and returns how many there were.
func (c *carried) cut() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.severed = true
	return c.abort()
}

// reset aborts all connections, too, but lets others follow.
func (c *carried) reset() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.abort()
}

// abort does so under mu. A connection that was aborted counts no more.
func (c *carried) abort() int {
	n := len(c.conns)
	for conn := range c.conns {
		conn.abort()
	}
	clear(c.conns)
	return n
}

// allow takes connections again after cut.
func (c *carried) allow() {
	c.mu.Lock()
	c.severed = false
	c.mu.Unlock()
}

// gate bounds the connections of a frontend.
type gate struct {
	mu      sync.Mutex
	open    int           // guarded by mu
	most    int           // guarded by mu; 0: no bound
	changed chan struct{} // guarded by mu; closed when there may be room again; nil if nobody waits
}

// enter takes a place and reports true, or waits for one until done is closed.
func (g *gate) enter(done <-chan struct{}) bool {
	return g.wait(done, func() { g.open++ })
}

// ready waits until there is a place, without taking it.
func (g *gate) ready(done <-chan struct{}) bool {
	return g.wait(done, func() {})
}

func (g *gate) wait(done <-chan struct{}, then func()) bool {
	for {
		g.mu.Lock()
		if g.most == 0 || g.open < g.most {
			then()
			g.mu.Unlock()
			return true
		}
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
}

func (g *gate) leave() { g.update(func() { g.open-- }) }

func (g *gate) bound(most int) { g.update(func() { g.most = most }) }

func (g *gate) update(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

func (g *gate) inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}
