package balancer

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"gslb/balancer/bpf"
	"gslb/balancer/kernel"
	"gslb/balancer/nft"
)

// dsrWays are all ways to do the plane "dsr", the best first: where no mode is
// configured, a frontend gets the first that the machine can do at its interfaces.
var dsrWays = []kernel.Way{bpf.XDP, bpf.TCX, nft.DSR}

// ModeNames returns the names that Config.Mode may have, besides ModeAuto.
func ModeNames() []string {
	var names []string
	for _, w := range dsrWays {
		names = append(names, w.Name)
	}
	return names
}

// newDSR returns a plane for each way; each frontend goes to the one of its mode.
func newDSR(ways []kernel.Way, opts kernel.Options, predecessor int, begun *sync.WaitGroup) planes {
	all := &modes{ways: ways, opts: opts, chosen: map[string]string{}, why: map[string]string{}}
	var out planes
	for _, w := range ways {
		k := newInKernel(PlaneDSR, w, opts, predecessor, begun, func(c *Config) bool { return all.of(c) == w.Name })
		k.unfit = all.unfit
		out = append(out, k)
	}
	return out
}

// modes chooses the ways of frontends.
type modes struct {
	ways []kernel.Way
	opts kernel.Options

	mu     sync.Mutex
	chosen map[string]string // guarded by mu; by interfaces: a frontend keeps its way
	why    map[string]string // guarded by mu; likewise, why not one before it
}

// of returns the way that is configured, or the first that can be gone: chosen
// once for the same interfaces, since a frontend that changes its way loses connections.
func (m *modes) of(c *Config) string {
	if c.Mode != "" && c.Mode != ModeAuto {
		return c.Mode
	}
	opts := m.opts
	opts.Interfaces = slices.Sorted(slices.Values(c.Interfaces))
	key := keyOf(c)
	eligible := slices.Clone(m.ways)
	if c.tunnelled() || c.KeepForwarding {
		eligible = slices.DeleteFunc(eligible, func(w kernel.Way) bool { return !w.Tunnels })
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if name, ok := m.chosen[key]; ok {
		return name
	}
	var why []any
	name := eligible[len(eligible)-1].Name // whose error tells what is wrong
	for _, w := range eligible {
		err := w.Can(opts)
		if err == nil && w.Suits != nil {
			err = w.Suits(opts)
		}
		if err == nil {
			name = w.Name
			break
		}
		why = append(why, "not "+w.Name, err.Error())
	}
	m.opts.Log.Info("balancer: how direct server return is done", append([]any{"mode", name, "interfaces", opts.Interfaces}, why...)...)
	m.chosen[key] = name
	for i := 0; i < len(why); i += 2 {
		m.why[key] += fmt.Sprintf("; %v: %v", why[i], why[i+1])
	}
	return name
}

// unfit tells why a frontend does not have a way before its own.
func (m *modes) unfit(c *Config) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.TrimPrefix(m.why[keyOf(c)], "; ")
}

// keyOf is what the choice of a way depends on.
func keyOf(c *Config) string {
	key := strings.Join(slices.Sorted(slices.Values(c.Interfaces)), " ")
	if c.tunnelled() || c.KeepForwarding {
		key += " tunnels"
	}
	return key
}
