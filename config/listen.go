package config

import (
	"net"
	"net/netip"
	"strconv"

	"gslb/balancer"
)

// endpoint is an address and port to listen on. The zero addr means all
// addresses of both families (":53").
type endpoint struct {
	addr netip.Addr
	port uint16
}

// parseEndpoint reads host:port; ok is false for what is not an IP address or
// nothing, and a port number. Whether that is a fault is for the room to say.
func parseEndpoint(s string) (e endpoint, ok bool) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return e, false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return e, false
	}
	e.port = uint16(n)
	switch host {
	case "":
		return e, true
	case "localhost":
		host = "127.0.0.1"
	}
	e.addr, err = netip.ParseAddr(host)
	e.addr = e.addr.Unmap()
	return e, err == nil
}

// bothFamilies is the endpoint that all but the DNS server get: net.Listen takes
// either unspecified address for all addresses of both families.
func (e endpoint) bothFamilies() endpoint {
	if e.addr.IsUnspecified() {
		e.addr = netip.Addr{}
	}
	return e
}

// overlaps tells whether both cannot be listened on at once. Port 0 is any free
// one.
//
//	              │ all        │ 0.0.0.0  │ ::       │ one address
//	──────────────┼────────────┼──────────┼──────────┼────────────
//	all           │ yes        │ yes      │ yes      │ yes
//	0.0.0.0       │            │ yes      │ no       │ if IPv4
//	::            │            │          │ yes      │ if IPv6
//	one address   │            │          │          │ if the same
func (e endpoint) overlaps(o endpoint) bool {
	if e.port != o.port || e.port == 0 {
		return false
	}
	if !e.addr.IsValid() || !o.addr.IsValid() {
		return true
	}
	if e.addr.IsUnspecified() || o.addr.IsUnspecified() {
		return e.addr.Is4() == o.addr.Is4()
	}
	return e.addr == o.addr
}

// protocols is which of TCP and UDP an address is listened on.
type protocols uint8

const (
	tcp protocols = 1 << iota
	udp
)

// checkListens reports addresses that two parts of this node would listen on.
func (c *Config) checkListens(r *report) {
	if r.scope == alone {
		return
	}
	var taken []listen
	use := func(key, text string, over protocols, familiesApart bool) {
		e, ok := parseEndpoint(text)
		if !ok {
			return
		}
		if !familiesApart {
			e = e.bothFamilies()
		}
		l := listen{e, over, key, text}
		for _, t := range taken {
			if over&t.over != 0 && e.overlaps(t.endpoint) {
				r.overlap(l, t)
				return
			}
		}
		taken = append(taken, l)
	}
	if c.Node.HasRole(RoleDNS) {
		web := tcp
		if c.DNS.HTTPS.HTTP3 {
			web |= udp
		}
		for _, t := range []struct {
			key    string
			listen []string
			over   protocols
		}{
			{"dns.listen", c.DNS.Listen, tcp | udp}, {"dns.https.listen", c.DNS.HTTPS.Listen, web},
			{"dns.tls.listen", c.DNS.TLS.Listen, tcp}, {"dns.quic.listen", c.DNS.QUIC.Listen, udp},
		} {
			for i, l := range t.listen {
				use(indexPath(t.key, i), l, t.over, true)
			}
		}
	}
	if !c.API.Off() {
		use("api.listen", c.API.Listen, tcp, false)
	}
	if c.Node.HasRole(RoleBalancer) {
		for i, f := range c.Frontends {
			if !c.own(r, i) {
				continue
			}
			for j, l := range f.Listen {
				over := tcp
				if f.Protocol == balancer.UDP {
					over = udp
				}
				use(indexPath(indexPath("frontend", i)+".listen", j), l, over, false)
			}
		}
	}
	if c.Etcd.Embedded {
		use("etcd.listen", c.Etcd.Listen, tcp, false)
		use("etcd.peer_listen", c.Etcd.PeerListen, tcp, false)
	}
}

type listen struct {
	endpoint
	over      protocols
	key, text string
}

// overlap blames the listen that is written, when the other is a default.
func (r *report) overlap(l, other listen) {
	if !r.at.has(l.key) {
		l, other = other, l
	}
	if !r.at.has(other.key) {
		r.bad(l.key, "%q: overlaps the default of %s, %q", l.text, other.key, other.text)
		return
	}
	r.bad(l.key, "%q: overlaps %q, where %s on line %s listens", l.text, other.text, other.key, r.line(other.key))
}
