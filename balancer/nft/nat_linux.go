package nft

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gslb/balancer/kernel"
)

// NAT rewrites the addresses of packets, both ways: a new connection gets a server by
// its slot, and the kernel's connection tracking keeps it there.
var NAT = kernel.Way{
	Name: "nft",
	Can:  canNAT,
	Open: func(o kernel.Options) (kernel.Engine, error) { return newNAT(o), nil },
	Sweep: func(o kernel.Options) error {
		return removeNAT(o.Node, "")
	},
}

// nat is the engine. All that it puts in the kernel is one table of each family, and a guard
// where there is an Admission; the connections are the kernel's, and outlive table and process.
type nat struct {
	opts   kernel.Options
	log    *slog.Logger
	owner  string
	guards []*guard // one of each family

	sets   []*ruleset                  // what is in the kernel, one of each family; nil: it is not known
	base   map[counted]kernel.Counters // counted by rulesets that were replaced, and here
	wanted []kernel.Service

	attempts kernel.Attempts[connect]
	sockets  bool // the kernel can tell which packets are a socket's

	mu    sync.RWMutex
	index *index // guarded by mu
}

// counted names a server of a service.
type counted struct {
	service string
	server  netip.AddrPort
}

// connect names one that the server has not answered.
type connect struct{ client, virtual, server netip.AddrPort }

func newNAT(o kernel.Options) *nat {
	n := &nat{opts: o, log: o.Log, owner: newOwner(), base: map[counted]kernel.Counters{}, index: newIndex(nil, nil), sockets: canTellSockets(o.Node)}
	for _, f := range families {
		n.guards = append(n.guards, newGuard(f, o.Node, n.owner))
	}
	return n
}

// canNAT has the kernel check a whole table, of both families, and take it back.
func canNAT(o kernel.Options) error {
	server := func(a string) kernel.Server { return kernel.Server{Address: netip.MustParseAddrPort(a)} }
	try := func(name string, by kernel.By, protocol uint8) kernel.Service {
		return kernel.Service{Name: name, Protocol: protocol, By: by,
			Listen:  []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("[2001:db8::1]:1")},
			Servers: []kernel.Server{server("192.0.2.2:1"), server("[2001:db8::2]:1")}, Slots4: []uint16{0, 0}, Slots6: []uint16{1, 1},
			Source: kernel.Source{Masquerade: true}}
	}
	c, err := dial()
	if err != nil {
		return err
	}
	for _, f := range families {
		r := newRuleset(f, tableName(o.Node)+"-try", newOwner(), []kernel.Service{try("turn", kernel.Turn, kernel.TCP), try("hash", kernel.ByConnection, kernel.UDP)})
		if err := r.build(c); err != nil {
			return err
		}
		c.DelTable(r.table)
	}
	return explain(c.Flush())
}

func (*nat) Slots(servers int) int { return slots(servers) }

func (n *nat) Apply(services []kernel.Service) error {
	if n.opts.Forwarding {
		for _, f := range families {
			if slices.ContainsFunc(services, func(s kernel.Service) bool { return f.listens(&s) }) {
				if err := forward(f); err != nil {
					n.log.Warn("balancer: cannot switch on forwarding", "sysctl", forwards[f], "error", err)
				}
			}
		}
	}
	was := n.wanted
	if err := n.install(services); err != nil {
		n.sets = nil // whatever is there now: what comes next is whole
		for _, g := range n.guards {
			g.known = false
		}
		return explain(err)
	}
	n.wanted = services
	n.mu.Lock()
	n.index = newIndex(services, n.index)
	n.mu.Unlock()
	if doomed(services) && !slices.EqualFunc(services, was, sameGone) {
		return n.evict()
	}
	return nil
}

// install changes the slots, or, where more is another now, puts new tables in the
// place of the old ones: in one transaction. Connections know nothing of it: what they are
// translated to is in their entries.
func (n *nat) install(services []kernel.Service) error {
	c, err := dial()
	if err != nil {
		return err
	}
	var changes []func()
	for _, g := range n.guards {
		done, err := g.change(c, services)
		if err != nil {
			return err
		}
		changes = append(changes, done)
	}
	guarded := func() {
		for _, done := range changes {
			done()
		}
	}
	same := func(r *ruleset) bool { return r.sameBut(services) }
	if len(n.sets) > 0 && !slices.ContainsFunc(n.sets, func(r *ruleset) bool { return !same(r) }) {
		for _, r := range n.sets {
			if err := r.update(c, services); err != nil {
				return err
			}
		}
		if err := c.Flush(); err != nil {
			return err
		}
		guarded()
		return nil
	}
	base := maps.Clone(n.base)
	for _, r := range n.sets { // their counters go with them
		seen, err := r.counters()
		if err != nil {
			return err
		}
		for key, c := range seen {
			base[key] = add(base[key], c)
		}
	}
	var next []*ruleset
	for _, f := range families {
		r := newRuleset(f, tableName(n.opts.Node), n.owner, services)
		r.sockets = n.sockets
		c.AddTable(r.table) // so that there is one to delete
		c.DelTable(r.table)
		if err := r.build(c); err != nil {
			return err
		}
		next = append(next, r)
	}
	if err := c.Flush(); err != nil {
		return err
	}
	n.sets, n.base = next, base
	guarded()
	for _, r := range next {
		if err := send(r.later); err != nil {
			return err
		}
	}
	return nil
}

func add(a, b kernel.Counters) kernel.Counters {
	a.Connections += b.Connections
	a.BytesUp += b.BytesUp
	a.BytesDown += b.BytesDown
	a.Failed += b.Failed
	return a
}

// doomed tells whether any server loses connections.
func doomed(services []kernel.Service) bool {
	return slices.ContainsFunc(services, func(s kernel.Service) bool {
		return slices.ContainsFunc(s.Servers, func(one kernel.Server) bool { return one.Gone || one.Failed })
	})
}

// loses tells whether a server loses this connection.
func loses(one *kernel.Server, t *track) bool {
	return t.open() && (one.Gone || one.Failed && t.unanswered())
}

func sameGone(a, b kernel.Service) bool {
	return a.Name == b.Name && slices.Equal(a.Servers, b.Servers)
}

func (n *nat) Count(see func(string, netip.AddrPort, kernel.Counters)) error {
	out := map[counted]kernel.Counters{}
	for _, r := range n.sets {
		seen, err := r.counters()
		if err != nil {
			return err
		}
		for key, c := range seen {
			out[key] = add(out[key], c)
		}
	}
	n.attempts.Begin(time.Now())
	err := n.walk(func(f *family, t *track, s *service, one *kernel.Server) {
		if !t.open() {
			return
		}
		key := counted{s.name, one.Address}
		c := out[key]
		c.Open++
		out[key] = c
		if t.unanswered() && n.attempts.Overdue(connect{t.client, t.virtual, t.server}) {
			n.base[key] = add(n.base[key], kernel.Counters{Failed: 1})
		}
	})
	if err != nil {
		return err
	}
	for key, c := range n.base {
		out[key] = add(out[key], c)
	}
	for key, c := range out {
		see(key.service, key.server, c)
	}
	if doomed(n.wanted) { // what was under way to a server while it went
		return n.evict()
	}
	return nil
}

func (n *nat) Refused(see func(string, kernel.Refused)) error {
	all := map[string]kernel.Refused{}
	for _, g := range n.guards {
		seen, err := g.read(g.table)
		if err != nil {
			return err
		}
		for name, r := range seen {
			all[name] = addRefused(all[name], r)
		}
	}
	for name, r := range all {
		see(name, r)
	}
	return nil
}

// evict has the kernel forget the connections to servers that are gone, and those that one
// that has failed did not answer: the next packet of each is the first of a new one, and goes to another server.
func (n *nat) evict() error {
	type entry struct {
		track
		family uint8
	}
	var all []entry
	err := n.walk(func(f *family, t *track, _ *service, one *kernel.Server) {
		if loses(one, t) {
			d := entry{*t, f.nfproto}
			d.original = slices.Clone(t.original)
			all = append(all, d)
		}
	})
	for _, d := range all {
		err = errors.Join(err, d.forget(d.family))
	}
	return err
}

// walk calls see for each entry of the connection table that is one of a service.
func (n *nat) walk(see func(*family, *track, *service, *kernel.Server)) error {
	n.mu.RLock()
	ix := n.index
	n.mu.RUnlock()
	var faults []error
	for _, f := range families {
		if !ix.has[f == v4] {
			continue
		}
		faults = append(faults, tracks(f.nfproto, func(t *track) bool {
			if s, one := ix.find(t); s != nil {
				see(f, t, s, one)
			}
			return true
		}))
	}
	return errors.Join(faults...)
}

func (n *nat) Flows(yield func(kernel.Flow) bool) error {
	more := true
	return n.walk(func(_ *family, t *track, s *service, one *kernel.Server) {
		if more && t.open() {
			more = yield(kernel.Flow{Service: s.name, Protocol: t.protocol, Client: t.client, Virtual: t.virtual, Server: t.server, Source: t.source,
				State: t.stateName(), Expires: t.expires, BytesUp: t.up, BytesDown: t.down})
		}
	})
}

func (n *nat) Problems() []string {
	var out []string
	for _, f := range families {
		var names []string
		for i := range n.wanted {
			if s := &n.wanted[i]; f.listens(s) {
				names = append(names, s.Name)
			}
		}
		if on, err := sysctl(forwards[f]); len(names) > 0 && err == nil && on == 0 {
			out = append(out, fmt.Sprintf("%s is 0, so the kernel forwards no packets of frontends %q: set it with sysctl, or enable_forwarding = true", forwards[f], names))
		}
	}
	if p := tableProblem(); p != "" && len(n.wanted) > 0 {
		out = append(out, p)
	}
	return out
}

// Keep does nothing: rules stay in the kernel until they are taken out, whoever ends.
func (n *nat) Keep(bool) {}

func (n *nat) Close(keep bool) error {
	if keep {
		return nil
	}
	return removeNAT(n.opts.Node, n.owner)
}

// removeNAT takes away the tables of a node, if they are the owner's, or, without one, whoever's.
func removeNAT(node, owner string) error {
	var faults []error
	for _, f := range families {
		faults = append(faults, remove(f.tables, tableName(node), owner), remove(f.tables, guardName(node), owner))
	}
	return errors.Join(faults...)
}

// listens tells whether a service has an address of the family.
func (f *family) listens(s *kernel.Service) bool {
	return slices.ContainsFunc(s.Listen, func(a netip.AddrPort) bool { return f.has(a.Addr()) })
}

func (f *family) has(a netip.Addr) bool { return a.Is4() == (f.nfproto == unix.NFPROTO_IPV4) }
