package balancer

import (
	"context"
	"net"
	"slices"
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
	// why tells in words how it carries a frontend of this configuration, and why so.
	why(c *Config) string
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
	routed       atomic.Int64 // of the accepted, those that a route led to another frontend
	resets       atomic.Int64 // ended by a reset of either end
	timedOut     atomic.Int64 // ended by the idle or close time-out
	cut          atomic.Int64 // ended by a drain time-out
	spliced      atomic.Int64 // bytes moved without a copy
	dropped      atomic.Int64 // datagrams that could not be passed on

	queueTimeouts atomic.Int64 // refused because they waited in the queue for too long
}

// carried is the set of connections that a plane has to one server, so that
// they can be seen and cut. The zero carried is empty.
type carried struct {
	mu      sync.Mutex
	conns   []*connection // guarded by mu; in no order, each at its index
	severed bool          // guarded by mu; after cut: no further connections
	evict   func() int    // guarded by mu; has a plane in the kernel end those it has; nil: none has any
}

// add reports false if the server's connections were cut: conn must end, too.
func (c *carried) add(conn *connection) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.severed {
		conn.blame(endCut)
		return false
	}
	conn.index = len(c.conns)
	c.conns = append(c.conns, conn)
	return true
}

// remove takes conn out, if it is in.
func (c *carried) remove(conn *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, last := conn.index, len(c.conns)-1
	if i < 0 || i > last || c.conns[i] != conn {
		return // it was aborted
	}
	c.conns[i] = c.conns[last]
	c.conns[i].index = i
	c.conns[last] = nil
	c.conns = c.conns[:last]
	conn.index = -1
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
	conns := c.conns
	c.conns = nil
	for _, conn := range conns {
		conn.index = -1
		conn.blame(endCut)
		conn.ender.abort()
	}
	n := len(conns)
	if c.evict != nil {
		n += c.evict()
	}
	return n
}

// all returns the connections that there are now. Each may end at any time.
func (c *carried) all() []*connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.conns)
}

// follow has evict end the connections of a plane in the kernel.
func (c *carried) follow(evict func() int) {
	c.mu.Lock()
	c.evict = evict
	c.mu.Unlock()
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
	open    int      // guarded by mu
	most    int      // guarded by mu; 0: no bound
	waiting []func() // guarded by mu; called, once, when there may be room again
}

// enter takes a place and reports true, or waits for one until done is closed.
func (g *gate) enter(done <-chan struct{}) bool { return g.wait(done, true) }

// ready waits until there is a place, without taking it.
func (g *gate) ready(done <-chan struct{}) bool { return g.wait(done, false) }

func (g *gate) wait(done <-chan struct{}, take bool) bool {
	for !g.try(take, nil) {
		changed := make(chan struct{})
		if g.try(take, func() { close(changed) }) {
			break
		}
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
	return true
}

// try tells whether there is a place, and takes it if it is to. If there is none,
// room is called as soon as there may be; it must not block.
func (g *gate) try(take bool, room func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.most > 0 && g.open >= g.most {
		if room != nil {
			g.waiting = append(g.waiting, room)
		}
		return false
	}
	if take {
		g.open++
	}
	return true
}

func (g *gate) leave() { g.update(func() { g.open-- }) }

func (g *gate) bound(most int) { g.update(func() { g.most = most }) }

func (g *gate) update(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
	for _, room := range g.waiting {
		room()
	}
	g.waiting = nil
}

func (g *gate) inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}
