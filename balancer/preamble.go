package balancer

import (
	"fmt"
	"net/netip"
	"time"

	"gslb/clienthello"
	"gslb/networks"
	"gslb/proxyproto"
)

// A preamble is what an engine reads of a client before a server is picked for it: the
// header of the PROXY protocol that a front end sends, and the ClientHello where there
// are routes. What is read that is not the header's goes to the server with all else.
//
// The engine reads, gives look all that has come, and does what that says, within
// Config.PreambleTimeout. Everything else about it is here.
type preamble struct {
	header bool      // a PROXY header is still to come
	hello  *entrance // a ClientHello is, for its routes; nil: none
}

// preambleStep is what an engine does next with a connection whose preamble was looked at.
type preambleStep uint8

const (
	stepRead   preambleStep = iota // read more, or call again with over
	stepServer                     // find it a server
	stepReset                      // reset it: it is blamed already
)

// headerMost bounds a PROXY header. Front ends with certificates of their clients send some hundred octets.
const headerMost = 4096

// entrance is what a frontend wants to know of clients first. It never changes.
type entrance struct {
	fronts  *networks.Ranges[bool] // front ends, which send a PROXY header; nil: there are none
	routes  *routes                // nil: all go to the frontend's own servers
	notTLS  string                 // Config.NotTLS
	servers bool                   // the frontend has some of its own
}

// entranceOf returns that of cfg; nil if servers are picked at once.
func entranceOf(cfg *Config, frontends map[string]*frontend) *entrance {
	e := &entrance{routes: routesOf(cfg, frontends), notTLS: cfg.NotTLS, servers: len(cfg.Servers) > 0}
	if len(cfg.ProxyFrom) > 0 {
		e.fronts = networks.New(cfg.ProxyFrom, func(ip netip.Addr) bool { return networks.Holds(cfg.ProxyFrom, ip) })
	}
	if e.fronts == nil && e.routes == nil {
		return nil
	}
	return e
}

// preamble tells what is to be read of a client that has just connected; nil: nothing.
func (f *frontend) preamble(client netip.AddrPort) *preamble {
	e := f.entrance.Load()
	if e == nil {
		return nil
	}
	p := &preamble{header: e.fronts != nil && e.fronts.At(client.Addr())}
	if e.routes != nil {
		p.hello = e
	}
	if !p.header && p.hello == nil {
		return nil
	}
	return p
}

// meet admits a client that has just connected, unless it is a front end, which is
// nobody's client: then look does it for whom that names. A false is as admit's.
func (f *frontend) meet(from flow) (*preamble, seat, bool) {
	p := f.preamble(from.client)
	if p != nil && p.header {
		return p, seat{}, true
	}
	seat, admitted := f.admit(from)
	return p, seat, admitted
}

// look judges what a client has said so far. over: no more of it will come in time;
// full: no more of it has room. skip is how many octets of b are not the server's, and
// are to be taken out before more are read.
func (p *preamble) look(c *connection, b []byte, over, full bool) (skip int, next preambleStep) {
	if p.header {
		h, n, err := proxyproto.Parse(b, headerMost)
		switch {
		case err == proxyproto.ErrShort && !over && !full:
			return 0, stepRead
		case err != nil:
			c.blame(endNoHeader)
			return 0, stepReset
		}
		p.header, skip = false, n
		if !c.introduce(h) {
			c.blame(endDenied)
			return skip, stepReset
		}
		b, full = b[n:], false
	}
	if p.hello != nil {
		h, err := clienthello.Parse(b)
		if err == clienthello.ErrShort && !over && !full {
			return skip, stepRead
		}
		if !c.route(p.hello, h, err) {
			return skip, stepReset
		}
	}
	return skip, stepServer
}

// introduce makes the connection that of the client which a front end names, and
// reports whether it is admitted. A front end that speaks for itself is.
func (c *connection) introduce(h proxyproto.Header) bool {
	if !h.Client.IsValid() {
		return true
	}
	c.from = flow{h.Client, h.Local}
	seat, admitted := c.front.admit(c.from)
	c.seat = seat
	if admitted {
		c.front.arrived(h.Client.Addr())
	}
	return admitted
}

func (c Config) validatePreamble(bad func(key, msg string)) {
	only := func(set bool, key string) {
		if set && (c.inKernel() || c.Protocol == UDP) {
			bad(key, fmt.Sprintf("is for plane %q and protocol %q alone", PlaneProxy, TCP))
		}
	}
	only(len(c.ProxyFrom) > 0, "proxy_from")
	only(c.PreambleTimeout != 0, "preamble_timeout")
	only(c.Transparent, "transparent")
	only(c.FastOpen, "fast_open")
	for key, d := range map[string]time.Duration{"keepalive_idle": c.KeepaliveIdle, "keepalive_interval": c.KeepaliveInterval} {
		only(d != 0, key)
		if d != 0 && (d < time.Second || d > keepaliveMost || d%time.Second != 0) {
			bad(key, fmt.Sprintf("%v: must be whole seconds, 1s to %v", d, keepaliveMost))
		}
	}
	only(c.KeepaliveCount != 0, "keepalive_count")
	if c.KeepaliveCount < 0 || c.KeepaliveCount > 127 {
		bad("keepalive_count", fmt.Sprintf("%d: must be 1 to 127", c.KeepaliveCount))
	}
	c.validateRoutes(bad)
}

// keepaliveMost is the kernel's bound (MAX_TCP_KEEPIDLE).
const keepaliveMost = 32767 * time.Second

// preambleTime is Config.PreambleTimeout's default.
const preambleTime = 3 * time.Second
