package nft

import (
	"net/netip"

	"gslb/balancer/kernel"
)

// index finds the service and the server of an entry of the connection table. It
// knows the addresses of services that are gone as long as they have servers.
type index struct {
	services map[virtual]*service
	has      map[bool]bool // by family: true is IPv4
}

type virtual struct {
	protocol uint8
	address  netip.AddrPort // unspecified: all addresses
}

type service struct {
	name    string
	listen  []virtual
	servers map[netip.AddrPort]*kernel.Server
}

// newIndex makes the index of services. Those without addresses are found by
// those that they had, unless another one has them now.
func newIndex(services []kernel.Service, old *index) *index {
	ix := &index{services: map[virtual]*service{}, has: map[bool]bool{}}
	had := map[string][]virtual{}
	if old != nil {
		for _, s := range old.services {
			had[s.name] = s.listen
		}
	}
	var left []*service
	for i := range services {
		s := &services[i]
		one := &service{name: s.Name, servers: map[netip.AddrPort]*kernel.Server{}}
		for j := range s.Servers {
			one.servers[s.Servers[j].Address] = &s.Servers[j]
		}
		for _, a := range s.Listen {
			one.listen = append(one.listen, virtual{s.Protocol, a})
			ix.has[a.Addr().Is4()] = true
		}
		if len(s.Listen) == 0 {
			one.listen = had[s.Name]
			left = append(left, one)
			continue
		}
		for _, v := range one.listen {
			ix.services[v] = one
		}
	}
	for _, one := range left {
		for _, v := range one.listen {
			ix.has[v.address.Addr().Is4()] = true
			if ix.services[v] == nil {
				ix.services[v] = one
			}
		}
	}
	return ix
}

// find returns the service and server of an entry, or nil if it is none of these.
func (ix *index) find(t *track) (*service, *kernel.Server) {
	s := ix.of(t)
	if s == nil || s.servers[t.server] == nil {
		return nil, nil
	}
	return s, s.servers[t.server]
}

// of returns the service that an entry's client has asked for, or nil.
func (ix *index) of(t *track) *service {
	s := ix.services[virtual{t.protocol, t.virtual}]
	if s == nil {
		all := netip.IPv4Unspecified()
		if t.virtual.Addr().Is6() {
			all = netip.IPv6Unspecified()
		}
		s = ix.services[virtual{t.protocol, netip.AddrPortFrom(all, t.virtual.Port())}]
	}
	return s
}
