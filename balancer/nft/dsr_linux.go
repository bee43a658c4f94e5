package nft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"

	"gslb/balancer/kernel"
)

// DSR hands packets on at layer 2, as they are but for the Ethernet address and the
// hop limit, before the kernel's own network stack has seen them. The answers of the
// servers do not come by here.
var DSR = kernel.Way{
	Name:  "nft",
	Can:   canDSR,
	Open:  func(o kernel.Options) (kernel.Engine, error) { return newDSR(o), nil },
	Sweep: func(o kernel.Options) error { return remove(nftables.TableFamilyNetdev, tableName(o.Node), "") },
}

// dsr is the engine. Its table is one of the family netdev:
//
//	chain in.eth0         where a packet goes -> map virtual4, virtual6 -> the chain of the service
//	chain www.4.GENERATION
//	  not admitted        chain www.4.GENERATION.guard (admitting): a SYN, or a datagram that is not known
//	  known, with a FIN   map conns4 -> server; from there on it is in map closing4, for the time Close
//	  known, with a SYN   map conns4 -> server, for less time, if that takes new connections; else it is a new one
//	  closing             map closing4 -> server
//	  known               map conns4 -> server, for the time Idle since its last packet
//	  new                 a slot -> server, which goes to conns4
//	  new, conns4 full    a slot -> server
//	  each of them        must be in the set of servers alive, whose elements count; then it is sent there
//
// conns and closing outlive generations, and processes that are killed.
type dsr struct {
	opts  kernel.Options
	table *nftables.Table
	owner string

	sets   []*generation // what is in the kernel; nil: it is not known
	wanted []kernel.Service
	before map[counted]kernel.Counters // counted by generations that are gone, and here
	number int

	refusals      // of families by themselves: "4 www"
	resets   bool // who is not admitted; else, without an answer, dropped

	attempts kernel.Attempts[connect]

	mu    sync.RWMutex
	index *index // guarded by mu
}

// most is how many connections are remembered, in each family. Others go by hash alone.
const most = 1 << 18

func newDSR(o kernel.Options) *dsr {
	return &dsr{opts: o, owner: newOwner(), table: &nftables.Table{Name: tableName(o.Node), Family: nftables.TableFamilyNetdev},
		before: map[counted]kernel.Counters{}, index: newIndex(nil, nil), refusals: refusals{base: map[string]kernel.Refused{}}}
}

func (*dsr) Slots(servers int) int { return slots(servers) }

// canDSR has the kernel check a whole table, and takes it away.
func canDSR(o kernel.Options) error {
	try := newDSR(o)
	try.table.Name += "-try"
	at := netip.MustParseAddrPort
	s := []kernel.Service{{Name: "try", Protocol: kernel.TCP, Idle: 1e9, Close: 1e9,
		Listen:  []netip.AddrPort{at("192.0.2.1:1"), at("[2001:db8::1]:1")},
		Servers: []kernel.Server{{Address: at("192.0.2.2:1")}, {Address: at("[2001:db8::2]:1")}}, Slots4: []uint16{0}, Slots6: []uint16{1}}}
	err := try.install(s, map[netip.Addr]int{at("192.0.2.2:1").Addr(): 1, at("[2001:db8::2]:1").Addr(): 1}, nil)
	if gone := remove(nftables.TableFamilyNetdev, try.table.Name, ""); err == nil {
		err = gone
	}
	return explain(err)
}

func (d *dsr) Apply(services []kernel.Service) error {
	if d.sets != nil && sameButSlots(d.wanted, services) {
		if err := d.update(services); err != nil {
			d.sets = nil
			return explain(err)
		}
		d.wanted = services
		return nil
	}
	out, devices, err := d.ways(services)
	if err != nil {
		return err
	}
	if err := d.collect(); err != nil {
		return err
	}
	if !d.resets && slices.ContainsFunc(services, func(s kernel.Service) bool { return s.Admission != nil }) {
		d.resets = canReset(d.opts.Node)
	}
	if err := d.install(services, out, devices); err != nil {
		d.sets = nil
		return explain(err)
	}
	d.wanted = services
	d.mu.Lock()
	d.index = newIndex(services, d.index)
	d.mu.Unlock()
	return nil
}

// ways finds by which interface each server is reached, which must be without a router
// between, and by which interfaces packets for the services come.
func (d *dsr) ways(services []kernel.Service) (out map[netip.Addr]int, devices []string, err error) {
	out = map[netip.Addr]int{}
	for _, s := range services {
		in := slices.Clone(s.Interfaces)
		for _, one := range s.Servers {
			a := one.Address.Addr()
			routes, err := netlink.RouteGet(net.IP(a.AsSlice()))
			if err != nil || len(routes) == 0 {
				return nil, nil, fmt.Errorf("there is no route to server %s of frontend %q: %v", a, s.Name, err)
			}
			r := routes[0]
			if r.Gw != nil {
				return nil, nil, fmt.Errorf("server %s of frontend %q is behind the router %s: by nft it must be in a network of this machine, where frames reach it", a, s.Name, r.Gw)
			}
			out[a] = r.LinkIndex
			if len(s.Interfaces) == 0 {
				if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
					in = append(in, link.Attrs().Name)
				}
			}
		}
		if len(s.Interfaces) == 0 {
			in = append(in, holders(append(d.virtual(&s, v4), d.virtual(&s, v6)...))...)
		}
		devices = append(devices, in...)
	}
	slices.Sort(devices)
	devices = slices.DeleteFunc(slices.Compact(devices), func(name string) bool { return name == "lo" })
	return out, devices, nil
}

// holders returns the interfaces that have one of the addresses.
func holders(listen []netip.AddrPort) (names []string) {
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && slices.ContainsFunc(listen, func(v netip.AddrPort) bool { return v.Addr() == p.Addr() }) {
				names = append(names, i.Name)
			}
		}
	}
	return names
}

func sameButSlots(a, b []kernel.Service) bool {
	return slices.EqualFunc(a, b, func(a, b kernel.Service) bool {
		if len(a.Slots4) != len(b.Slots4) || len(a.Slots6) != len(b.Slots6) {
			return false
		}
		a.Slots4, b.Slots4, a.Slots6, b.Slots6 = nil, nil, nil, nil
		a.Servers, b.Servers = answering(a.Servers), answering(b.Servers)
		return reflect.DeepEqual(a, b)
	})
}

// answering is servers without that which nothing here depends on.
func answering(servers []kernel.Server) []kernel.Server {
	out := slices.Clone(servers)
	for i := range out {
		out[i].Failed = false
	}
	return out
}

// update changes the slots that are others now, in one transaction.
func (d *dsr) update(services []kernel.Service) error {
	c, err := dial()
	if err != nil {
		return err
	}
	for _, g := range d.sets {
		s := &services[g.at]
		now, before := slotElements(g.slotsOf(s), g.slotsOf(&d.wanted[g.at]), g.next(s))
		if len(now) == 0 {
			continue
		}
		if err := deleteElements(c, g.slots, before); err != nil {
			return err
		}
		if err := addElements(c, g.slots, now); err != nil {
			return err
		}
		c.FlushSet(g.taking)
		if err := addElements(c, g.taking, g.takers(s)); err != nil {
			return err
		}
	}
	return c.Flush()
}

// install puts a new generation of all services beside the old one, switches over, and
// takes the old one away. What can fail mostly fails before the switch.
func (d *dsr) install(services []kernel.Service, out map[netip.Addr]int, devices []string) error {
	c, err := dial()
	if err != nil {
		return err
	}
	d.number++
	name := fmt.Sprintf("%s.%d", strings.TrimPrefix(d.owner, ownerPrefix), d.number)
	c.AddTable(d.table)
	c.AddChain(&nftables.Chain{Name: d.owner, Table: d.table})
	seen, err := d.read(d.table)
	if err != nil {
		return err
	}
	has := map[string]*admitting{}
	keep := map[string]bool{}
	lasting := map[*family]*memory{}
	for _, f := range families {
		m := f.memory(d.table)
		for _, set := range []*nftables.Set{m.conns, m.closing, m.virtual} {
			if err := c.AddSet(set, nil); err != nil {
				return err
			}
		}
		lasting[f] = m
	}
	var next []*generation
	var rules []rawRule
	switched := map[*family][]nftables.SetElement{}
	for i := range services {
		for _, f := range families {
			s := &services[i]
			if !f.listens(s) && len(s.Listen) > 0 {
				continue
			}
			g := &generation{family: f, at: i, name: fmt.Sprintf("%s.%s.%s", s.Name, f.digit(), name), out: out, memory: lasting[f]}
			if s.Admission != nil {
				g.admits = f.admitting(d.table, s, "g."+name, strings.TrimPrefix(d.owner, ownerPrefix))
				g.admits.keeps(func(name string) { keep[name] = true })
				has[f.digit()[:1]+" "+s.Name] = g.admits
			}
			if err := g.build(c, d.table, s); err != nil {
				return err
			}
			more, err := g.rules(d.table, s, d.turnAway(f, s.Protocol))
			if err != nil {
				return err
			}
			next, rules = append(next, g), append(rules, more...)
			for _, a := range d.virtual(s, f) {
				switched[f] = append(switched[f], nftables.SetElement{Key: virtualBytes(s.Protocol, a), VerdictData: goTo(g.name)})
			}
		}
	}
	if err := c.Flush(); err != nil {
		return err
	}
	if err := send(rules); err != nil {
		return err
	}
	for _, f := range families {
		c.FlushSet(lasting[f].virtual)
		if err := addElements(c, lasting[f].virtual, switched[f]); err != nil {
			return err
		}
	}
	if err := d.entrances(c, devices, lasting); err != nil {
		return err
	}
	if err := d.clear(c, name, keep); err != nil {
		return err
	}
	if err := c.Flush(); err != nil {
		return err
	}
	d.sets = next
	d.follow(has, seen)
	return nil
}

// virtual returns the addresses of a service in a family; of one that has left, those it had.
func (d *dsr) virtual(s *kernel.Service, f *family) (out []netip.AddrPort) {
	listen := s.Listen
	if len(listen) == 0 {
		d.mu.RLock()
		for v, had := range d.index.services {
			if had.name == s.Name && v.protocol == s.Protocol {
				listen = append(listen, v.address)
			}
		}
		d.mu.RUnlock()
	}
	for _, a := range listen {
		if f.has(a.Addr()) {
			out = append(out, a)
		}
	}
	return out
}

// entrances adds the chains at the interfaces. They are written anew each time.
func (d *dsr) entrances(c *nftables.Conn, devices []string, lasting map[*family]*memory) error {
	for _, device := range devices {
		chain := &nftables.Chain{Name: "in." + device, Table: d.table, Type: nftables.ChainTypeFilter, Device: device,
			Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityFilter}
		c.AddChain(chain)
		c.FlushChain(chain)
		for _, f := range families {
			c.AddRule(&nftables.Rule{Table: d.table, Chain: chain, Exprs: rule(f.ethernet(), f.virtualLoad(), vmap(lasting[f].virtual))})
		}
	}
	return nil
}

// turnAway is family.turnAway, as far as this kernel can.
func (d *dsr) turnAway(f *family, protocol uint8) exprs {
	if protocol == kernel.TCP && !d.resets {
		return of(&expr.Verdict{Kind: expr.VerdictDrop})
	}
	return f.turnAway(protocol)
}

// canReset tells whether the kernel can refuse at an interface's ingress (nft_reject_netdev, Linux 5.11).
func canReset(node string) bool {
	c, err := dial()
	if err != nil {
		return false
	}
	t := &nftables.Table{Name: tableName(node) + "-try", Family: nftables.TableFamilyNetdev}
	c.AddTable(t)
	chain := c.AddChain(&nftables.Chain{Name: "reset", Table: t})
	c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: v4.refuse(kernel.TCP)})
	c.DelTable(t)
	return c.Flush() == nil
}

// clear takes away what is of another generation than the one that is named, and what of
// an Admission is not to be kept.
func (d *dsr) clear(c *nftables.Conn, name string, keep map[string]bool) error {
	look, err := dial()
	if err != nil {
		return err
	}
	chains, err := look.ListChainsOfTableFamily(nftables.TableFamilyNetdev)
	if err != nil {
		return err
	}
	old := func(other string) bool {
		return strings.Contains(other, ".g.") && !strings.HasSuffix(other, name) && !strings.Contains(other, name+".")
	}
	var doomed []*nftables.Chain
	for _, chain := range chains {
		if chain.Table.Name != d.table.Name {
			continue
		}
		chain.Table = d.table
		if old(chain.Name) || strings.HasPrefix(chain.Name, ownerPrefix) && chain.Name != d.owner {
			doomed = append(doomed, chain)
		}
	}
	for _, chain := range doomed {
		c.FlushChain(chain)
	}
	sets, err := look.GetSets(d.table)
	if err != nil {
		return err
	}
	for _, set := range sets {
		if i := strings.LastIndexByte(set.Name, '.'); i > 0 && old(set.Name) || set.Dynamic && !set.IsMap && !keep[set.Name] {
			set.Table = d.table
			c.DelSet(set)
		}
	}
	counters, err := counterPackets(look, d.table)
	if err != nil {
		return err
	}
	for counter := range counters {
		if !keep[counter] {
			c.DeleteObject(&nftables.NamedObj{Table: d.table, Name: counter, Type: nftables.ObjTypeCounter})
		}
	}
	for _, chain := range doomed { // which elements of the sets went to
		c.DelChain(chain)
	}
	return nil
}

// Keep does nothing: rules stay in the kernel until they are taken out, whoever ends.
func (d *dsr) Keep(bool) {}

func (d *dsr) Close(keep bool) error {
	if keep {
		return nil
	}
	return remove(nftables.TableFamilyNetdev, d.table.Name, d.owner)
}

func (d *dsr) Problems() []string { return nil }

// collect adds the counters of what goes to the base of what comes.
func (d *dsr) collect() error {
	seen, err := d.counters()
	if err != nil {
		return err
	}
	for key, c := range seen {
		d.before[key] = add(d.before[key], c)
	}
	return nil
}

func (d *dsr) counters() (map[counted]kernel.Counters, error) {
	out := map[counted]kernel.Counters{}
	c, err := dial()
	if err != nil {
		return nil, err
	}
	for _, g := range d.sets {
		s := &d.wanted[g.at]
		for _, set := range []*nftables.Set{g.alive, g.new} {
			elements, err := c.GetSetElements(set)
			if err != nil {
				return nil, err
			}
			for _, e := range elements {
				server, ok := serverOf(s, g.family, e.Key)
				if !ok || e.Counter == nil {
					continue
				}
				key := counted{s.Name, server}
				if set == g.new {
					out[key] = add(out[key], kernel.Counters{Connections: int64(e.Counter.Packets)})
				} else {
					out[key] = add(out[key], kernel.Counters{BytesUp: int64(e.Counter.Bytes)})
				}
			}
		}
	}
	return out, nil
}

// serverOf finds the server that has a mark.
func serverOf(s *kernel.Service, f *family, mark []byte) (netip.AddrPort, bool) {
	for _, one := range s.Servers {
		if f.has(one.Address.Addr()) && bytes.Equal(mark, markOf(one.Address.Addr())) {
			return one.Address, true
		}
	}
	return netip.AddrPort{}, false
}

func (d *dsr) Count(see func(string, netip.AddrPort, kernel.Counters)) error {
	out, err := d.counters()
	if err != nil {
		return err
	}
	for key, c := range d.before {
		out[key] = add(out[key], c)
	}
	fresh := map[string]time.Duration{}
	for i := range d.wanted {
		fresh[d.wanted[i].Name] = freshTime(&d.wanted[i])
	}
	recent := 2*time.Second + d.attempts.Begin(time.Now())
	err = d.Flows(func(f kernel.Flow) bool {
		key := counted{f.Service, f.Server}
		c := out[key]
		c.Open++
		// What has so much time left has had nothing but SYNs, or has been silent for long: one false alarm.
		young := f.Protocol == kernel.TCP && f.State == "" && f.Expires <= fresh[f.Service] && f.Expires > fresh[f.Service]-recent
		if young && d.attempts.Overdue(connect{f.Client, f.Virtual, f.Server}) {
			c.Failed++
			d.before[key] = add(d.before[key], kernel.Counters{Failed: 1})
		}
		out[key] = c
		return true
	})
	for key, c := range out {
		see(key.service, key.server, c)
	}
	return err
}

func (d *dsr) Refused(see func(string, kernel.Refused)) error {
	seen, err := d.read(d.table)
	if err != nil {
		return err
	}
	all := map[string]kernel.Refused{}
	for key, r := range seen {
		_, name, _ := strings.Cut(key, " ")
		all[name] = addRefused(all[name], r)
	}
	for name, r := range all {
		see(name, r)
	}
	return nil
}

func (d *dsr) Flows(yield func(kernel.Flow) bool) error {
	d.mu.RLock()
	ix := d.index
	d.mu.RUnlock()
	c, err := dial()
	if err != nil {
		return err
	}
	for _, f := range families {
		if !ix.has[f == v4] {
			continue
		}
		m := f.memory(d.table)
		for _, set := range []*nftables.Set{m.conns, m.closing} {
			elements, err := c.GetSetElements(set)
			if err != nil {
				return err
			}
			for _, e := range elements {
				t := f.remembered(e)
				if t == nil {
					continue
				}
				s := ix.of(t)
				if s == nil {
					continue
				}
				for a := range s.servers {
					if f.has(a.Addr()) && bytes.Equal(e.Val, markOf(a.Addr())) {
						t.server = a
					}
				}
				if !t.server.IsValid() {
					continue
				}
				flow := kernel.Flow{Service: s.name, Protocol: t.protocol, Client: t.client, Virtual: t.virtual, Server: t.server, Source: t.client, Expires: e.Expires}
				if set == m.closing {
					flow.State = "CLOSING"
				}
				if !yield(flow) {
					return nil
				}
			}
		}
	}
	return nil
}

// remembered reads an element of conns or closing; nil if it is none.
func (f *family) remembered(e nftables.SetElement) *track {
	n := int(f.size)
	if len(e.Key) < 2*n+12 || len(e.Val) < 4 {
		return nil
	}
	client, _ := netip.AddrFromSlice(e.Key[:n])
	virtual, _ := netip.AddrFromSlice(e.Key[n : 2*n])
	return &track{protocol: e.Key[2*n+8], client: netip.AddrPortFrom(client, binary.BigEndian.Uint16(e.Key[2*n:])),
		virtual: netip.AddrPortFrom(virtual, binary.BigEndian.Uint16(e.Key[2*n+4:]))}
}
