package balancer

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// standing is how a server of a pool stands with a plane in the kernel.
type standing struct {
	server  *server
	address netip.AddrPort
	new     *candidate // as which it gets new connections; nil: none
	gone    bool       // its connections are to go elsewhere
	failed  bool       // those that it has not answered, too
}

// standing returns all servers that may have connections, sorted by address.
//
//	                     new connections  TCP connections it has              UDP sessions it has
//	in the table         yes              stay                                stay
//	isolated by failure  no               stay; reset by on_isolate "reset"   go to others
//	overloaded           no               stay                                stay
//	draining, removed    no               stay until drain_timeout            go to others
//	spare taken out      no               stay                                stay
//
// UDP has nothing that would be broken: a server that does not answer only keeps its clients waiting.
func (p *pool) standing(protocol string) []standing {
	p.mu.Lock()
	defer p.mu.Unlock()
	table := p.table.Load()
	var out []standing
	for _, s := range slices.Concat(p.servers, p.leaving) {
		address, err := netip.ParseAddrPort(s.address)
		if err != nil {
			continue // validate has refused it
		}
		one := standing{server: s, address: netip.AddrPortFrom(address.Addr().Unmap(), address.Port())}
		if i := slices.IndexFunc(table.candidates, func(c candidate) bool { return c.server == s }); i >= 0 {
			one.new = &table.candidates[i]
			s.evicted.Store(false)
		}
		failed := s.isolation.causes&^causeOverload != 0
		one.failed = one.new == nil && failed
		one.gone = one.new == nil && (s.evicted.Load() || protocol == UDP && (failed || s.drain.on()))
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b standing) int { return a.address.Compare(b.address) })
	return slices.CompactFunc(out, func(a, b standing) bool { return a.address == b.address })
}

// follow has a plane woken, under mu, whenever the table may be another one.
func (p *pool) follow(k *inKernel) {
	p.mu.Lock()
	p.follower = k
	p.mu.Unlock()
}

// leave ends that, unless another plane has the frontend by now.
func (p *pool) leave(k *inKernel) {
	p.mu.Lock()
	if p.follower == k {
		p.follower = nil
	}
	p.mu.Unlock()
}

// everyone returns all servers that may have connections.
func (p *pool) everyone() []*server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Concat(p.servers, p.leaving)
}

// evict returns how carried has a plane in the kernel end the server's
// connections: soon, by a wake. It tells how many there were at the last count.
func (s *server) evict(wake func()) func() int {
	return func() int {
		if s.evicted.Swap(true) {
			return 0
		}
		wake()
		return int(cmp.Or(s.open.Load(), 0))
	}
}

// countLag is how long after a change of the table the kernel has it.
const countLag = 100 * time.Millisecond

// empty tells whether the server has no connections, and has got none since a time
// after which it was to get none. What the kernel has is counted now and then only.
func (s *server) empty(since time.Time) bool {
	asOf := s.asOf.Load()
	return s.open.Load() == 0 && (asOf == 0 || asOf > since.Add(countLag).UnixNano())
}
