package balancer

import (
	"slices"
	"time"

	"gslb/health"
)

// FrontendStatus is a frontend as people and metrics see it. Counters count
// since the frontend's start and never go down.
type FrontendStatus struct {
	Name       string   `json:"name"`
	Site       string   `json:"site"`
	Listen     []string `json:"listen"` // where it listens; as configured before Listen
	Plane      string   `json:"plane"`
	PlaneWhy   string   `json:"plane_why"` // how connections are carried, and why so, in words
	Pick       string   `json:"pick"`
	MinServers int      `json:"min_servers"`
	Available  int      `json:"available"` // servers and spares that take new connections; 0 in panic
	Panic      bool     `json:"panic"`     // no server is available, all are tried
	Open       int64    `json:"open"`      // connections now
	Most       int      `json:"most"`      // bound of Open; 0: none
	Queued     int64    `json:"queued"`    // of Open, those who wait for a server with room
	Counters   Counters `json:"counters"`

	// Times are of all connections since the start: until a server accepted, to its
	// first byte, and in all.
	Times   [3]Histogram   `json:"-"`
	Servers []ServerStatus `json:"servers"`
}

// Counters are what was counted for a frontend.
type Counters struct {
	Accepted      int64 `json:"accepted"`       // connections from clients
	Refused       int64 `json:"refused"`        // reset because no server took them
	Retried       int64 `json:"retried"`        // connects tried again, mostly on another server
	LocalErrors   int64 `json:"local_errors"`   // connects that failed for want of descriptors, ports or memory on this node
	AcceptErrors  int64 `json:"accept_errors"`  // accepts that failed for the same reasons
	Resets        int64 `json:"resets"`         // connections ended by a reset of either end
	TimedOut      int64 `json:"timed_out"`      // connections ended by the idle or the close time-out
	Cut           int64 `json:"cut"`            // connections that outlived the drain of the frontend
	QueueTimeouts int64 `json:"queue_timeouts"` // of the refused, those who waited in the queue for too long
	QueueFull     int64 `json:"queue_full"`     // of the refused, those who found the queue full
	Dropped       int64 `json:"dropped"`        // datagrams that could not be passed on
	Spliced       int64 `json:"spliced_bytes"`  // bytes that the kernel moved without a copy
	Denied        int64 `json:"denied"`         // of the accepted, reset at once because of allow and deny
	OverRate      int64 `json:"over_rate"`      // likewise, because their network had too many new connections
	OverCount     int64 `json:"over_count"`     // likewise, because their network has too many connections
	Silent        int64 `json:"silent"`         // connections whose client said nothing within the first-byte time-out
	Slow          int64 `json:"slow"`           // connections that were slower than the least rate
	Routed        int64 `json:"routed"`         // of the accepted, those that a route led to another frontend
	NotTLS        int64 `json:"not_tls"`        // of the accepted, those that did not begin with a ClientHello, and were reset
	NoRoute       int64 `json:"no_route"`       // of the accepted, those whose server name no route takes, and were reset
	NoHeader      int64 `json:"no_header"`      // of the accepted, those of front ends without a good PROXY header
	Unlogged      int64 `json:"unlogged"`       // connections that were to be logged, but the log was not taken in time
}

// ServerStatus is one server or spare of a frontend.
type ServerStatus struct {
	health.Server
	Weight        float64       `json:"weight"`
	Capacity      float64       `json:"capacity"` // 0: not stated
	Most          int64         `json:"most"`     // bound of its connections; 0: none
	Zone          string        `json:"zone,omitempty"`
	Since         time.Time     `json:"since"` // when it last came into or out of service
	Why           string        `json:"why"`   // in words, for its state
	Load          float64       `json:"load"`  // connections over capacity; 0: no capacity is stated
	Share         float64       `json:"share"` // of its weight that its agent asks for, as it counts; 1: all
	Rate          float64       `json:"rate"`  // new connections a second
	Drain         *Drain        `json:"drain,omitempty"`
	Registered    bool          `json:"registered,omitempty"` // it is not of the configuration
	Connect       Quantiles     `json:"connect"`              // of the time until it accepts, lately
	Times         [3]Histogram  `json:"-"`                    // as FrontendStatus.Times
	FirstByte     Quantiles     `json:"first_byte"`           // of the time from the client's first byte (or the accept) to its own
	SlowStart     float64       `json:"slow_start"`           // progress, to 1: done or not in one
	Total         int64         `json:"total"`                // connections made
	Failures      int64         `json:"failures"`             // connects that failed
	Broken        int64         `json:"broken"`               // connections that it reset before it had said anything
	Isolations    int64         `json:"isolations"`
	Queued        int64         `json:"queued"`         // clients that wait because it was picked for them and had no room
	QueueTimeouts int64         `json:"queue_timeouts"` // of such, those who waited for too long
	Latency       time.Duration `json:"latency_ns"`     // of connects to it: the peak EWMA that the pick "latency" goes by; 0: not measured lately
	BytesUp       int64         `json:"bytes_up"`       // from clients
	BytesDown     int64         `json:"bytes_down"`     // to clients
}

// Drain is how far a server is with draining.
type Drain struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"` // when what is left is reset; zero: never, as its agent asked for it
	Begun int64     `json:"begun"`          // connections that it had then
	Left  int64     `json:"left"`
}

// Status returns all frontends, in the order of the configuration.
func (b *Balancer) Status() []FrontendStatus {
	var out []FrontendStatus
	for _, f := range b.frontends() {
		cfg, c := f.config(), &f.counters
		s := FrontendStatus{
			Name: f.name, Site: cfg.Site, Plane: b.planes.of(cfg).name(), PlaneWhy: b.planes.why(cfg), Pick: cfg.Pick, MinServers: cfg.MinServers,
			Open: int64(f.gate.inside()), Most: cfg.MaxConnections, Queued: f.pool.queue.length.Load(),
			Counters: Counters{
				Accepted: c.accepted.Load(), Refused: c.refused.Load(), Retried: c.retried.Load(),
				LocalErrors: c.localErrors.Load(), AcceptErrors: c.acceptErrors.Load(),
				Resets: c.resets.Load(), TimedOut: c.timedOut.Load(), Cut: c.cut.Load(), Spliced: c.spliced.Load(), Dropped: c.dropped.Load(),
				QueueTimeouts: c.queueTimeouts.Load(), QueueFull: c.queueFull.Load(),
				Denied: f.refusals.denied.Load(), OverRate: f.refusals.rate.Load(), OverCount: f.refusals.count.Load(),
				Silent: f.refusals.silent.Load(), Slow: f.refusals.slow.Load(), NoHeader: f.refusals.header.Load(),
				Routed: c.routed.Load(), NotTLS: f.refusals.notTLS.Load(), NoRoute: f.refusals.noRoute.Load(), Unlogged: f.unlogged.Load(),
			},
		}
		for _, a := range b.planes.addrs(f) {
			s.Listen = append(s.Listen, a.String())
		}
		if s.Listen == nil {
			s.Listen = cfg.Listen
		}
		f.pool.addStatus(&s)
		out = append(out, s)
	}
	return out
}

func (p *pool) addStatus(f *FrontendStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.Panic, f.Times = p.panic, p.past
	now := p.now()
	for _, s := range slices.Concat(p.servers, p.leaving) {
		for i, h := range s.counted() {
			f.Times[i].plus(&h)
		}
	}
	for _, s := range p.servers {
		if s.inService && s.available() {
			f.Available++
		}
		f.Servers = append(f.Servers, ServerStatus{
			Since: s.since, Why: p.detail(s), Load: s.load(), Share: s.wish.smooth, Rate: s.measured.rate, Drain: p.drainOf(s), Registered: s.Registered,
			Times: s.counted(), Connect: s.lately(timeConnect), FirstByte: s.lately(timeFirst),
			Server: p.line(s), Weight: s.Weight, Capacity: s.Capacity, SlowStart: s.ramp(now, p.cfg.SlowStart),
			Total: s.total.Load(), Failures: s.failures.Load(), Broken: s.broken.Load(), Isolations: s.isolated,
			Most: s.most.Load(), Zone: s.Zone, Queued: s.queued.Load(), QueueTimeouts: s.queueTimeouts.Load(),
			Latency: time.Duration(1e9 * s.peak.at(stamp(now))),
			BytesUp: s.bytesUp.Load(), BytesDown: s.bytesDown.Load(),
		})
	}
}

// drainOf is how far s is with draining; nil: it does not.
func (p *pool) drainOf(s *server) *Drain {
	if !s.drain.on() {
		return nil
	}
	d := &Drain{Since: s.drain.since, Begun: s.drain.begun, Left: s.open.Load()}
	if s.ordered || s.leaving {
		d.Until = s.drain.since.Add(p.drainMost(s))
	}
	return d
}
