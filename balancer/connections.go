package balancer

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Connection is one open connection as people see it.
type Connection struct {
	Frontend string  `json:"frontend"`
	Server   string  `json:"server"`
	Client   string  `json:"client"`                // address and port: the remote end
	At       string  `json:"at,omitempty"`          // where the client connected to, if that was looked up
	Name     string  `json:"server_name,omitempty"` // of its ClientHello, where routes go by it
	Source   string  `json:"source,omitempty"`      // from which the server sees it come, where that is not the client (plane nat)
	Protocol string  `json:"protocol"`              // "tcp" or "udp"
	Place    string  `json:"place,omitempty"`       // where the client is, filled by whoever knows
	Age      float64 `json:"age"`                   // seconds since it was taken
	Idle     float64 `json:"idle"`                  // seconds since the last byte
	Up       int64   `json:"bytes_up"`              // from the client
	Down     int64   `json:"bytes_down"`            // to the client
	State    string  `json:"state,omitempty"`       // of a connection that the kernel carries; empty: established
}

// ConnectionFilter tells which connections are wanted. The zero filter wants the 1000 oldest.
type ConnectionFilter struct {
	Frontend, Server string       // "": any
	Client           netip.Prefix // zero: any
	MinAge, MinIdle  time.Duration
	Sort             string // one of ConnectionSorts(); "": age
	Limit            int    // 0: 1000; at most MostConnectionsListed
}

// MostConnectionsListed bounds one answer.
const MostConnectionsListed = 100_000

// connectionSorts are what connections may be sorted by, the largest first.
var connectionSorts = map[string]func(*Connection) float64{
	"age": func(c *Connection) float64 { return c.Age }, "idle": func(c *Connection) float64 { return c.Idle },
	"bytes": func(c *Connection) float64 { return float64(c.Up + c.Down) },
}

// ConnectionSorts returns what connections may be sorted by.
func ConnectionSorts() []string { return []string{"age", "idle", "bytes"} }

// witness is a plane that knows of connections which are in no server's carried
// set, since the kernel carries them.
type witness interface {
	connections(f *frontend, visit func(Connection))
}

// Connections returns the open connections that a filter wants, and how many there
// are of them in all. It takes a lock of a server for as long as it takes to copy
// a list of pointers, and none of a connection.
func (b *Balancer) Connections(want ConnectionFilter) (list []Connection, matching int) {
	if want.Limit <= 0 {
		want.Limit = 1000
	}
	want.Limit = min(want.Limit, MostConnectionsListed)
	by := connectionSorts[want.Sort]
	if by == nil {
		by = connectionSorts["age"]
	}
	largest := func(a, b Connection) int {
		return cmp.Or(cmp.Compare(by(&b), by(&a)), cmp.Compare(a.Client, b.Client))
	}
	b.eachConnection(want.Frontend, func(c Connection) {
		if !want.matches(&c) {
			return
		}
		matching++
		if list = append(list, c); len(list) >= 2*want.Limit+1000 { // memory is bounded, whatever there is
			slices.SortFunc(list, largest)
			list = list[:want.Limit]
		}
	})
	slices.SortFunc(list, largest)
	return list[:min(len(list), want.Limit)], matching
}

func (want *ConnectionFilter) matches(c *Connection) bool {
	if want.Server != "" && c.Server != want.Server || c.Age < want.MinAge.Seconds() || c.Idle < want.MinIdle.Seconds() {
		return false
	}
	if !want.Client.IsValid() {
		return true
	}
	a, err := netip.ParseAddrPort(c.Client)
	return err == nil && want.Client.Contains(a.Addr())
}

// eachConnection visits all open connections, of one frontend or, if that is "", of all.
func (b *Balancer) eachConnection(frontend string, visit func(Connection)) {
	for _, f := range b.allFrontends() {
		if frontend != "" && f.name != frontend {
			continue
		}
		now := instantNow()
		for _, s := range f.pool.all() {
			for _, c := range s.carried.all() {
				visit(Connection{
					Frontend: f.name, Server: s.address, Client: c.from.client.String(), At: endText(c.from.local), Name: c.name, Protocol: f.config().Protocol,
					Age: max(0, seconds(now-c.begun)), Idle: max(0, seconds(now-c.latest.Load())), Up: c.up.Load(), Down: c.down.Load(),
				})
			}
		}
		if w, ok := b.planes.of(f.config()).(witness); ok {
			w.connections(f, visit)
		}
	}
}

// endText is an address and port; empty if there is none.
func endText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// allFrontends are those of the configuration, and those that left it with connections.
func (b *Balancer) allFrontends() []*frontend {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := slices.Clone(b.fronts)
	for _, r := range b.retired {
		all = append(all, r.frontend)
	}
	return all
}

// all are the pool's servers, spares, and those that left the configuration with connections.
func (p *pool) all() []*server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Concat(p.servers, p.leaving)
}

// ConnectionGroup is the connections of one network, server or frontend.
type ConnectionGroup struct {
	Of    string `json:"of"`
	Place string `json:"place,omitempty"` // of a network, filled by whoever knows
	Open  int    `json:"open"`
	Up    int64  `json:"bytes_up"`
	Down  int64  `json:"bytes_down"`
}

// ConnectionGroupings returns what TopConnections may group by.
func ConnectionGroupings() []string { return []string{"network", "server", "frontend"} }

// groupsMost bounds the groups that are counted at once; beyond, new networks are left out.
const groupsMost = 1 << 20

// TopConnections groups the connections that a filter wants, and returns the groups
// with most of them, want.Limit at most. A network has as many bits as the frontend's
// limits have (Config.NetworkBits4).
func (b *Balancer) TopConnections(want ConnectionFilter, by string) (top []ConnectionGroup, matching int) {
	groups := map[string]*ConnectionGroup{}
	bits := map[string][2]int{}
	for _, f := range b.allFrontends() {
		cfg := f.config()
		bits[f.name] = [2]int{cfg.NetworkBits4, cfg.NetworkBits6}
	}
	b.eachConnection(want.Frontend, func(c Connection) {
		if !want.matches(&c) {
			return
		}
		matching++
		key := c.Frontend
		switch by {
		case "server":
			key = c.Server
		case "network":
			key = networkOf(c.Client, bits[c.Frontend])
		}
		g := groups[key]
		if g == nil {
			if len(groups) == groupsMost {
				return
			}
			g = &ConnectionGroup{Of: key}
			groups[key] = g
		}
		g.Open++
		g.Up += c.Up
		g.Down += c.Down
	})
	for _, g := range groups {
		top = append(top, *g)
	}
	slices.SortFunc(top, func(a, b ConnectionGroup) int {
		return cmp.Or(cmp.Compare(b.Open, a.Open), cmp.Compare(a.Of, b.Of))
	})
	if want.Limit <= 0 {
		want.Limit = 20
	}
	return top[:min(len(top), want.Limit)], matching
}

func networkOf(client string, bits [2]int) string {
	a, err := netip.ParseAddrPort(client)
	if err != nil {
		return client
	}
	n := bits[0]
	if a.Addr().Is6() {
		n = bits[1]
	}
	p, err := a.Addr().Prefix(n)
	if err != nil {
		return a.Addr().String() + "/" + strconv.Itoa(n)
	}
	return p.String()
}
