package balancer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"

	"gslb/balancer/kernel"
	"gslb/balancer/nft"
)

// The data planes that Config.Plane may name.
const (
	PlaneProxy = "proxy" // two sockets and what goes between them; needs no privileges
	PlaneNAT   = "nat"   // the kernel rewrites addresses, both ways; needs CAP_NET_ADMIN
	PlaneDSR   = "dsr"   // the kernel hands packets on, and servers answer clients themselves; needs CAP_NET_ADMIN
)

// Planes returns the names that Config.Plane may have.
func Planes() []string { return []string{PlaneProxy, PlaneNAT, PlaneDSR} }

// The engines of the proxy plane that Config.Engine may name.
const (
	EngineEpoll    = "epoll"    // event loops with epoll(7); Linux
	EnginePortable = "portable" // two goroutines for each connection
)

// threadsMost is more than any machine has use for.
const threadsMost = 1024

// The transports that Config.Protocol may name.
const (
	TCP = "tcp"
	UDP = "udp"
)

// planes are all data planes of a node: each frontend is carried by the first
// that takes its configuration. Together they change as one: all or none.
type planes []plane

func newPlanes(log *slog.Logger, from *Options) planes {
	opts, predecessor := kernel.Options{Node: from.Node, Log: log}, 0
	if from.Inherited != nil {
		predecessor = os.Getppid()
	}
	begun := new(sync.WaitGroup)
	return append(planes{
		newProxy(log, from.Inherited),
		newInKernel(PlaneNAT, nft.NAT, opts, predecessor, begun, func(*Config) bool { return true }),
	}, newDSR(dsrWays, opts, predecessor, begun)...)
}

// of returns the plane that takes c, or nil.
func (all planes) of(c *Config) plane {
	if i := slices.IndexFunc(all, func(p plane) bool { return p.takes(c) }); i >= 0 {
		return all[i]
	}
	return nil
}

// why tells in words how connections of c are carried, and why so.
func (all planes) why(c *Config) string {
	if p := all.of(c); p != nil {
		return p.why(c)
	}
	return ""
}

// apply makes the planes serve exactly these frontends. All or nothing: after an
// error everything is as before. commit is called when nothing can fail any
// more, and before a connection is taken for a new frontend.
func (all planes) apply(bindings []binding, commit func()) error {
	shares := make(map[plane][]binding, len(all))
	for _, b := range bindings {
		p := all.of(b.cfg) // validate has made sure that there is one
		shares[p] = append(shares[p], b)
	}
	var changes []change
	var faults []error
	for _, p := range all {
		c, err := p.prepare(shares[p])
		if err != nil {
			faults = append(faults, err)
			continue
		}
		changes = append(changes, c)
	}
	if err := errors.Join(faults...); err != nil {
		for _, c := range slices.Backward(changes) {
			c.undo()
		}
		return err
	}
	commit()
	for _, c := range changes {
		c.commit()
	}
	return nil
}

// run runs all planes until ctx has ended and nothing is left.
func (all planes) run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(func() { p.run(ctx) })
	}
	wg.Wait()
}

// addrs returns where the frontend listens.
func (all planes) addrs(f *frontend) []net.Addr {
	for _, p := range all {
		if found := p.addrs(f); found != nil {
			return found
		}
	}
	return nil
}
