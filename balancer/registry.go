package balancer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"gslb/durable"
	"gslb/health/probe"
)

// Registration is a server that was put behind a frontend by order, beside those
// of the configuration: a clone that has come up. It stays through changes of the
// configuration and, with Options.File, through restarts.
type Registration struct {
	Frontend       string    `json:"frontend"`
	Address        string    `json:"address"`            // host:port
	Weight         float64   `json:"weight,omitempty"`   // 0: 1
	Capacity       float64   `json:"capacity,omitempty"` // as the other servers state it
	MaxConnections int       `json:"max_connections,omitempty"`
	Zone           string    `json:"zone,omitempty"`
	Spare          bool      `json:"spare,omitempty"` // wait until it is needed
	Until          time.Time `json:"until,omitzero"`  // when it is removed if it is not registered again; zero: never
	Since          time.Time `json:"since,omitzero"`  // filled by Register
	Who            string    `json:"who,omitempty"`
	Why            string    `json:"why,omitempty"`
}

// ErrConfigured is that a server stands in the configuration, which alone may change it.
var ErrConfigured = errors.New("stands in the configuration")

// mostRegistered bounds the registered servers of a frontend.
const mostRegistered = 1000

func (r *Registration) server() ServerConfig {
	return ServerConfig{Address: r.Address, Weight: r.Weight, Capacity: r.Capacity, MaxConnections: r.MaxConnections, Zone: r.Zone, Registered: true}
}

func (r *Registration) is(frontend, address string) bool {
	return r.Frontend == frontend && r.Address == address
}

// with returns cfgs with the registered servers behind those that they state. A frontend
// that is gone, and an address that the configuration has by now, is passed over.
func with(cfgs []Config, registered []Registration) []Config {
	out := slices.Clone(cfgs)
	for i := range out {
		c := &out[i]
		least := c.WithDefaults().MinServers // of the configured ones
		configured := slices.Concat(c.Servers, c.Spares)
		c.Servers, c.Spares = slices.Clone(c.Servers), slices.Clone(c.Spares)
		for _, r := range registered {
			if r.Frontend != c.Name || slices.ContainsFunc(configured, func(s ServerConfig) bool { return s.Address == r.Address }) {
				continue
			}
			if r.Spare {
				c.Spares = append(c.Spares, r.server())
			} else {
				c.Servers = append(c.Servers, r.server())
			}
			c.MinServers = least
		}
	}
	return out
}

// Register puts a server behind a frontend, or renews its registration. Its error
// tells what is wrong with it, and wraps ErrConfigured for a server of the configuration.
func (b *Balancer) Register(r Registration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.base, func(c Config) bool { return c.Name == r.Frontend })
	if i < 0 {
		return unknownFrontend(r.Frontend, b.fronts)
	}
	for _, s := range slices.Concat(b.base[i].Servers, b.base[i].Spares) {
		if s.Address == r.Address {
			return fmt.Errorf("server %s of frontend %s %w", r.Address, r.Frontend, ErrConfigured)
		}
	}
	r.Since = b.opts.Now().UTC()
	all := slices.Clone(b.registered)
	if j := slices.IndexFunc(all, func(o Registration) bool { return o.is(r.Frontend, r.Address) }); j >= 0 {
		r.Since = all[j].Since
		same := all[j]
		same.Until, same.Who, same.Why = r.Until, r.Who, r.Why
		all[j] = r
		if same == r { // only for longer
			b.registered = all
			return b.keepRegistered()
		}
	} else {
		n := 0
		for _, o := range all {
			if o.Frontend == r.Frontend {
				n++
			}
		}
		if n >= mostRegistered {
			return fmt.Errorf("frontend %s has %d registered servers, and may not have more", r.Frontend, n)
		}
		all = append(all, r)
	}
	return b.apply(b.base, b.checks, all)
}

// Deregister takes a registered server out; its connections drain.
func (b *Balancer) Deregister(frontend, address string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.registered, func(r Registration) bool { return r.is(frontend, address) })
	if i < 0 {
		for _, c := range b.base {
			for _, s := range slices.Concat(c.Servers, c.Spares) {
				if c.Name == frontend && s.Address == address {
					return fmt.Errorf("server %s of frontend %s %w", address, frontend, ErrConfigured)
				}
			}
		}
		return fmt.Errorf("%w registered server %q of frontend %q", ErrUnknown, address, frontend)
	}
	return b.apply(b.base, b.checks, slices.Delete(slices.Clone(b.registered), i, i+1))
}

// Registered returns the registered servers.
func (b *Balancer) Registered() []Registration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.registered)
}

// expire removes registered servers that were not registered again in time.
func (b *Balancer) expire(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	over := func(r Registration) bool { return !r.Until.IsZero() && now.After(r.Until) }
	if !slices.ContainsFunc(b.registered, over) {
		return
	}
	if err := b.apply(b.base, b.checks, slices.DeleteFunc(slices.Clone(b.registered), over)); err != nil {
		b.log.Warn("balancer: a registered server whose time is over cannot be removed; trying again", "error", err)
	}
}

// keepRegistered writes the registered servers to disk. Under mu.
func (b *Balancer) keepRegistered() error {
	if b.opts.File == "" {
		return nil
	}
	data, err := json.MarshalIndent(b.registered, "", "  ")
	if err == nil {
		err = durable.WriteFile(b.opts.File, 0o600, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("it is in force, but would be lost at a restart: %w", err)
	}
	return nil
}

// readRegistered reads what keepRegistered wrote, without what is not valid any more.
func (b *Balancer) readRegistered(cfgs []Config, checks map[string]probe.Config) []Registration {
	if b.opts.File == "" {
		return nil
	}
	data, err := os.ReadFile(b.opts.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var all []Registration
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		b.log.Warn("balancer: starting without the registered servers of before", "file", b.opts.File, "error", err)
		return nil
	}
	return b.valid(cfgs, checks, all)
}

// valid returns those of all that go with cfgs, and tells which do not.
func (b *Balancer) valid(cfgs []Config, checks map[string]probe.Config, all []Registration) (good []Registration) {
	if validate(with(cfgs, all), checks) == nil {
		return all
	}
	for _, r := range all {
		more := append(slices.Clone(good), r)
		if err := validate(with(cfgs, more), checks); err != nil {
			b.log.Warn("balancer: a registered server does not go with the configuration any more; it is removed", "frontend", r.Frontend, "server", r.Address, "error", err)
			continue
		}
		good = more
	}
	return good
}
