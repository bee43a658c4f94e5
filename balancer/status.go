package balancer

import (
	"time"

	"gslb/health"
)

// FrontendStatus is a frontend as people and metrics see it. Counters count
// since the frontend's start and never go down.
type FrontendStatus struct {
	Name       string         `json:"name"`
	Site       string         `json:"site"`
	Listen     []string       `json:"listen"` // where it listens; as configured before Listen
	Plane      string         `json:"plane"`
	Pick       string         `json:"pick"`
	MinServers int            `json:"min_servers"`
	Available  int            `json:"available"` // servers and spares that take new connections; 0 in panic
	Panic      bool           `json:"panic"`     // no server is available, all are tried
	Open       int64          `json:"open"`      // connections now
	Most       int            `json:"most"`      // bound of Open; 0: none
	Queued     int64          `json:"queued"`    // of Open, those who wait for a server with room
	Counters   Counters       `json:"counters"`
	Servers    []ServerStatus `json:"servers"`
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
	Spliced       int64 `json:"spliced_bytes"`  // bytes that the kernel moved without a copy
	Denied        int64 `json:"denied"`         // of the accepted, reset at once because of allow and deny
	OverRate      int64 `json:"over_rate"`      // likewise, because their network had too many new connections
	OverCount     int64 `json:"over_count"`     // likewise, because their network has too many connections
	Silent        int64 `json:"silent"`         // connections whose client said nothing within the first-byte time-out
	Slow          int64 `json:"slow"`           // connections that were slower than the least rate
	Unlogged      int64 `json:"unlogged"`       // connections that were to be logged, but the log was not taken in time
}

// ServerStatus is one server or spare of a frontend.
type ServerStatus struct {
	health.Server
	Weight        float64       `json:"weight"`
	Capacity      float64       `json:"capacity"` // 0: not stated
	Most          int64         `json:"most"`     // bound of its connections; 0: none
	Zone          string        `json:"zone,omitempty"`
	SlowStart     float64       `json:"slow_start"` // progress, to 1: done or not in one
	Total         int64         `json:"total"`      // connections made
	Failures      int64         `json:"failures"`   // connects that failed
	Broken        int64         `json:"broken"`     // connections that it reset before it had said anything
	Isolations    int64         `json:"isolations"`
	Queued        int64         `json:"queued"`         // clients that wait because it was picked for them and had no room
	QueueTimeouts int64         `json:"queue_timeouts"` // of such, those who waited for too long
	Latency       time.Duration `json:"latency_ns"`     // of connects to it: the peak EWMA that the pick "latency" goes by; 0: not measured lately
	BytesUp       int64         `json:"bytes_up"`       // from clients
	BytesDown     int64         `json:"bytes_down"`     // to clients
}

// Status returns all frontends, in the order of the configuration.
func (b *Balancer) Status() []FrontendStatus {
	var out []FrontendStatus
	for _, f := range b.frontends() {
		cfg, c := f.config(), &f.counters
		s := FrontendStatus{
			Name: f.name, Site: cfg.Site, Plane: b.planes.of(cfg).name(), Pick: cfg.Pick, MinServers: cfg.MinServers,
			Open: int64(f.gate.inside()), Most: cfg.MaxConnections, Queued: f.pool.queue.length.Load(),
			Counters: Counters{
				Accepted: c.accepted.Load(), Refused: c.refused.Load(), Retried: c.retried.Load(),
				LocalErrors: c.localErrors.Load(), AcceptErrors: c.acceptErrors.Load(),
				Resets: c.resets.Load(), TimedOut: c.timedOut.Load(), Cut: c.cut.Load(), Spliced: c.spliced.Load(),
				QueueTimeouts: c.queueTimeouts.Load(), QueueFull: c.queueFull.Load(),
				Denied: f.refusals.denied.Load(), OverRate: f.refusals.rate.Load(), OverCount: f.refusals.count.Load(),
				Silent: f.refusals.silent.Load(), Slow: f.refusals.slow.Load(), Unlogged: f.unlogged.Load(),
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
	f.Panic = p.panic
	for _, s := range p.servers {
		if s.inService && s.available() {
			f.Available++
		}
		f.Servers = append(f.Servers, ServerStatus{
			Server: p.line(s), Weight: s.Weight, Capacity: s.Capacity, SlowStart: s.ramp(p.now(), p.cfg.SlowStart),
			Total: s.total.Load(), Failures: s.failures.Load(), Broken: s.broken.Load(), Isolations: s.isolated,
			Most: s.most.Load(), Zone: s.Zone, Queued: s.queued.Load(), QueueTimeouts: s.queueTimeouts.Load(),
			Latency: time.Duration(1e9 * s.peak.at(stamp(p.now()))),
			BytesUp: s.bytesUp.Load(), BytesDown: s.bytesDown.Load(),
		})
	}
}
