package balancer

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Readiness tells whether a virtual address may lead here for a frontend: whoever holds
// the address (VRRP, BGP) lets go of it when it may not.
//
//	                                           ready
//	before Listen, after the end of Run began  no
//	fewer servers available than ReadyServers  no
//	in panic: none is healthy, all are tried   no: another balancer may reach one that is
//	else                                       yes
type Readiness struct {
	Frontend  string       `json:"frontend"`
	Ready     bool         `json:"ready"`
	Why       string       `json:"why"`       // in words
	Announce  bool         `json:"announce"`  // by BGP
	Addresses []netip.Addr `json:"addresses"` // of Config.Listen, without those that mean all
}

// Readiness returns that of all frontends, in the order of the configuration.
func (b *Balancer) Readiness() []Readiness {
	b.mu.Lock()
	listening, fronts := b.listening && !b.stopping, b.fronts
	b.mu.Unlock()
	var out []Readiness
	for _, f := range fronts {
		cfg := f.config()
		r := Readiness{Frontend: f.name, Announce: cfg.Announce, Addresses: cfg.addresses()}
		available, panics := f.pool.usable()
		if len(cfg.Servers) == 0 { // its routes lead to other frontends' servers
			panics = false
			for _, other := range fronts {
				if slices.ContainsFunc(cfg.Routes, func(r RouteConfig) bool { return r.To == other.name }) {
					n, _ := other.pool.usable()
					available += n
				}
			}
		}
		switch {
		case !listening:
			r.Why = "the balancer does not take connections"
		case panics:
			r.Why = "no server is available, all are tried"
		case available < cfg.ReadyServers:
			r.Why = fmt.Sprintf("servers that take connections: %d, of at least %d", available, cfg.ReadyServers)
		default:
			r.Ready, r.Why = true, fmt.Sprintf("servers that take connections: %d", available)
		}
		out = append(out, r)
	}
	return out
}

// usable is how many servers and spares take new connections.
func (p *pool) usable() (available int, panics bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.servers {
		if s.inService && s.available() {
			available++
		}
	}
	return available, p.panic && available == 0
}

// addresses are those that the frontend listens at, each once.
func (c *Config) addresses() []netip.Addr {
	var out []netip.Addr
	for _, l := range c.Listen {
		host, _, _ := net.SplitHostPort(l)
		if a, err := netip.ParseAddr(host); err == nil && !a.IsUnspecified() && !slices.Contains(out, a.Unmap()) {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// validateVirtual finds what cannot be of an address that comes and goes.
func (c Config) validateVirtual(bad func(key, msg string)) {
	if c.Announce && len(c.addresses()) == 0 {
		bad("announce", "needs listen with the virtual address, such as \"192.0.2.10:443\": all addresses cannot be announced")
	}
	if c.Freebind {
		switch {
		case c.inKernel():
			bad("freebind", fmt.Sprintf("is for plane %q: the kernel takes packets for any address that comes to it", PlaneProxy))
		case !canFreebind:
			bad("freebind", "is for Linux")
		}
	}
	if most := len(c.Servers) + len(c.Spares); c.ReadyServers < 0 || c.ReadyServers > max(1, most) {
		bad("ready_servers", fmt.Sprintf("%d: must be 1 to %d (servers and spares together)", c.ReadyServers, max(1, most)))
	}
}
