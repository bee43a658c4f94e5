package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gslb/balancer"
	"gslb/console"
	"gslb/steady"
)

// Frontends is part of console.Backend.
func (n *node) Frontends() (console.FrontendList, bool) {
	if n.balancer == nil {
		return console.FrontendList{}, false
	}
	return console.FrontendList{Frontends: n.balancer.Status(), Events: n.balancer.Events(), Hooks: n.balancer.Hooks()}, true
}

// Connections is part of console.Backend.
func (n *node) Connections(q console.ConnectionQuery) (l console.ConnectionList, ok bool) {
	if n.balancer == nil {
		return l, false
	}
	n.mu.Lock()
	places := n.places
	n.mu.Unlock()
	where := func(client string) string {
		a, err := netip.ParseAddrPort(client)
		addr := a.Addr()
		if err != nil {
			p, err := netip.ParsePrefix(client)
			if err != nil {
				return ""
			}
			addr = p.Addr()
		}
		if places == nil {
			return ""
		}
		place, _ := places.Lookup(addr)
		return place.String()
	}
	if q.Top != "" {
		l.Top, l.Matching = n.balancer.TopConnections(q.ConnectionFilter, q.Top)
		if q.Top == "network" {
			for i := range l.Top {
				l.Top[i].Place = where(l.Top[i].Of)
			}
		}
		return l, true
	}
	l.Connections, l.Matching = n.balancer.Connections(q.ConnectionFilter)
	for i := range l.Connections {
		l.Connections[i].Place = where(l.Connections[i].Client)
	}
	return l, true
}

// OrderServer is part of console.Backend.
func (n *node) OrderServer(o console.ServerOrder) error {
	if n.balancer == nil {
		return fmt.Errorf("%w: this node has no balancer", console.ErrNotFound)
	}
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	switch o.Do {
	case console.DrainServer:
		return n.balancer.Drain(o.Frontend, o.Address, seconds(o.Within))
	case console.UndrainServer:
		return n.balancer.Undrain(o.Frontend, o.Address)
	case console.RemoveServer:
		return n.balancer.Deregister(o.Frontend, o.Address)
	case console.AddServer:
		r := balancer.Registration{Frontend: o.Frontend, Address: o.Address, Weight: o.Weight, Capacity: o.Capacity,
			MaxConnections: o.MaxConnections, Zone: o.Zone, Spare: o.Spare, Who: o.Who, Why: o.Why}
		if o.TTL > 0 {
			r.Until = steady.Now().Add(seconds(o.TTL)).UTC()
		}
		return n.balancer.Register(r)
	}
	return errors.New("no such order")
}

// frontendProblems lists what a person should look at of the balancer. What has been counted
// since the call before is what "goes on".
func (n *node) frontendProblems() (lines []string) {
	if n.balancer == nil {
		return nil
	}
	for _, h := range n.balancer.Hooks() {
		if h.Failed && !h.Needed.IsZero() {
			about := "frontend " + h.Frontend
			if h.Server != "" {
				about += ", server " + h.Server
			}
			lines = append(lines, fmt.Sprintf("%s: the hook for a %s was called in vain at %s: %s", about, h.Hook, moment(h.Asked), h.Outcome))
		}
	}
	return append(lines, n.balancer.Problems()...)
}
