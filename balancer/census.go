package balancer

import (
	"net/netip"
	"sync"
	"time"

	"gslb/health"
)

// mostNetworks bounds the client networks that a census tells apart; the clients of
// others are counted without one.
const mostNetworks = 4096

// census notes who comes to the frontends of a site, for as long as somebody asks:
// see Attend. While nobody does, a connection costs one load.
type census struct {
	ignore func(netip.Addr) bool

	mu       sync.Mutex
	since    time.Time
	arrived  map[netip.Prefix]*Arrivals // guarded by mu, as all below
	count    int64
	ignored  int64
	last     time.Time
	step     time.Time // when the current step began
	current  int64     // connections in it
	finished []int64   // the steps before, the newest last
}

// Arrivals are the connections that came from one network.
type Arrivals struct {
	New  int64
	Last time.Time
}

// Visitors are who comes to a site, since somebody asked for it.
type Visitors struct {
	Since   time.Time
	New     int64
	Last    time.Time // zero: none has come
	Ignored int64     // new ones that are nobody's
	Steps   []int64   // new ones in each health.ClientStep that is over, the newest first
	// Arrived are the new ones by network, of 24 bits or 56; the zero Prefix holds those
	// beyond the bound.
	Arrived map[netip.Prefix]Arrivals
	Open    []Visit // those that are open, in no order
}

// Visit is an open connection.
type Visit struct {
	Client netip.Addr
	Server string
	Since  time.Time
}

// NetworkOf is the network that a client is known by: 24 bits of IPv4, 56 of IPv6.
func NetworkOf(a netip.Addr) netip.Prefix {
	bits := 56
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits) // the zero Prefix, of no address
	return p
}

// arrive notes a connection.
func (c *census) arrive(client netip.Addr, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ignore != nil && c.ignore(client) {
		c.ignored++
		return
	}
	c.turn(now)
	c.count++
	c.current++
	c.last = now
	network := NetworkOf(client)
	a := c.arrived[network]
	if a == nil && len(c.arrived) >= mostNetworks {
		network = netip.Prefix{}
		a = c.arrived[network]
	}
	if a == nil {
		a = &Arrivals{}
		c.arrived[network] = a
	}
	a.New, a.Last = a.New+1, now
}

// turn ends the steps that are over. Under mu.
func (c *census) turn(now time.Time) {
	over := int(now.Sub(c.step) / health.ClientStep)
	if over <= 0 {
		return
	}
	c.step = c.step.Add(time.Duration(over) * health.ClientStep)
	c.finished = append(c.finished, c.current)
	c.current = 0
	for range min(over-1, health.MostClientSteps) {
		c.finished = append(c.finished, 0)
	}
	if n := len(c.finished); n > health.MostClientSteps {
		c.finished = append([]int64(nil), c.finished[n-health.MostClientSteps:]...)
	}
}

// arrived is for planes: a connection of this client has come. It may be called by
// many goroutines at once.
func (f *frontend) arrived(client netip.Addr) {
	if c := f.census.Load(); c != nil {
		c.arrive(client, time.Now())
	}
}

// counted is for planes in the kernel, which see connections only when they count:
// so many new ones have come, of clients that are not known.
func (f *frontend) counted(n int64) {
	c := f.census.Load()
	if c == nil || n <= 0 {
		return
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(now)
	c.count += n
	c.current += n
	c.last = now
	a := c.arrived[netip.Prefix{}]
	if a == nil {
		a = new(Arrivals)
		c.arrived[netip.Prefix{}] = a
	}
	a.New, a.Last = a.New+n, now
}

// Attend has the balancer note who comes to these sites from now on, until it is
// called without them. What was noted of a site that is asked for again stays.
func (b *Balancer) Attend(sites []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	kept := map[string]*census{}
	for _, site := range sites {
		c := b.attended[site]
		if c == nil {
			c = &census{ignore: b.opts.Ignore, since: now, step: now, arrived: map[netip.Prefix]*Arrivals{}}
		}
		kept[site] = c
	}
	b.attended = kept
	b.attend()
}

// attend gives the frontends their censuses. Under mu.
func (b *Balancer) attend() {
	for _, f := range b.fronts {
		f.census.Store(b.attended[f.config().Site])
	}
}

// Visitors tells who comes to a site that is attended; false: it is not, or no
// frontend serves it.
func (b *Balancer) Visitors(site string) (Visitors, bool) {
	b.mu.Lock()
	c := b.attended[site]
	var fronts []*frontend
	for _, f := range b.fronts {
		if f.config().Site == site {
			fronts = append(fronts, f)
		}
	}
	for _, r := range b.retired {
		if r.config().Site == site {
			fronts = append(fronts, r.frontend)
		}
	}
	b.mu.Unlock()
	if c == nil || len(fronts) == 0 {
		return Visitors{}, false
	}
	v := c.tell(time.Now())
	for _, f := range fronts {
		if f.config().inKernel() {
			f.pool.kernelVisits(&v)
		} else {
			f.pool.visits(&v)
		}
	}
	return v, true
}

// tell gives all but the open connections.
func (c *census) tell(now time.Time) Visitors {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(now)
	v := Visitors{Since: c.since, New: c.count, Last: c.last, Ignored: c.ignored, Arrived: make(map[netip.Prefix]Arrivals, len(c.arrived))}
	for network, a := range c.arrived {
		v.Arrived[network] = *a
	}
	for i := len(c.finished) - 1; i >= 0; i-- {
		v.Steps = append(v.Steps, c.finished[i])
	}
	return v
}

// visits adds the open connections of all servers.
func (p *pool) visits(v *Visitors) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range [][]*server{p.servers, p.leaving} {
		for _, s := range list {
			for _, conn := range s.carried.all() {
				v.Open = append(v.Open, Visit{Client: conn.from.client.Addr(), Server: s.address, Since: at(conn.begun)})
			}
		}
	}
}

// kernelVisits adds the open connections that the kernel has, as last counted. Whose
// they are is not looked up: that is a walk through all that the kernel knows.
func (p *pool) kernelVisits(v *Visitors) {
	for _, s := range p.everyone() {
		for range min(s.open.Load(), mostNetworks) {
			v.Open = append(v.Open, Visit{Server: s.address, Since: v.Since})
		}
	}
}
