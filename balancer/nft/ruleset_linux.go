package nft

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"gslb/balancer/kernel"
)

// ruleset is the table of a nat for one family, as it is in the kernel:
//
//	chain prerouting            a packet of an open connection to this machine (a proxy's, of before) stays here
//	chain prerouting, output    where a packet goes -> map virtual (or any, for a service at all addresses) -> the
//	                            chain of the service
//	chain www.slots             the slot, by hash or in turns -> map www.slots -> the chain of the server
//	chain www.server.1          counts a connection; DNAT to the server
//	chain postrouting           SNAT of services that are to have it, and of servers that are clients themselves
//	chain account               counts bytes by elements of sets: up, down …, and servers' refusals: refused …
//
// Only the first packet of a connection comes through the chains of type nat.
type ruleset struct {
	*family
	table    *nftables.Table
	owner    string
	services []kernel.Service
	slots    map[string]*nftables.Set    // by the name of the service
	accounts map[*nftables.Set]direction // what the elements of each set count
	later    []rawRule                   // which are sent once the rest is there
	sockets  bool                        // the kernel can tell which packets are a socket's
}

// direction is what an account counts.
type direction struct {
	down    bool
	refused bool // connects that the server refused, instead of bytes
	any     bool // of services at all addresses
}

func newRuleset(f *family, table, owner string, services []kernel.Service) *ruleset {
	return &ruleset{
		family: f, table: &nftables.Table{Name: table, Family: f.tables}, owner: owner, services: services,
		slots: map[string]*nftables.Set{}, accounts: map[*nftables.Set]direction{},
	}
}

func serverChain(s *kernel.Service, i int) string { return fmt.Sprintf("%s.server.%d", s.Name, i) }

func slotsChain(s *kernel.Service) string { return s.Name + ".slots" }

// sameBut tells whether services differ from those of the ruleset in nothing but slots.
func (r *ruleset) sameBut(services []kernel.Service) bool {
	return slices.EqualFunc(r.services, services, func(a, b kernel.Service) bool {
		if len(r.slotsOf(&a)) != len(r.slotsOf(&b)) {
			return false
		}
		a.Slots4, b.Slots4, a.Slots6, b.Slots6 = nil, nil, nil, nil
		a.Admission, b.Admission = nil, nil // which is a guard's
		a.Servers, b.Servers = staying(a.Servers), staying(b.Servers)
		return reflect.DeepEqual(a, b)
	})
}

// staying is servers without that which no rule depends on.
func staying(servers []kernel.Server) []kernel.Server {
	out := slices.Clone(servers)
	for i := range out {
		out[i].Gone, out[i].Failed = false, false
	}
	return out
}

// update changes the slots that are others in services.
func (r *ruleset) update(c *nftables.Conn, services []kernel.Service) error {
	for i := range services {
		s := &services[i]
		set := r.slots[s.Name]
		if set == nil {
			continue
		}
		now, before := slotElements(r.slotsOf(s), r.slotsOf(&r.services[i]), toServer(s))
		if err := deleteElements(c, set, before); err != nil {
			return err
		}
		if err := addElements(c, set, now); err != nil {
			return err
		}
	}
	r.services = services
	return nil
}

func toServer(s *kernel.Service) func(uint16) nftables.SetElement {
	return func(i uint16) nftables.SetElement {
		return nftables.SetElement{VerdictData: goTo(serverChain(s, int(i)))}
	}
}

// build adds the table and all that is in it.
func (r *ruleset) build(c *nftables.Conn) error {
	c.AddTable(r.table)
	c.AddChain(&nftables.Chain{Name: r.owner, Table: r.table})
	for i := range r.services {
		s := &r.services[i]
		if !r.listens(s) {
			continue
		}
		for j := range s.Servers {
			r.server(c, s, j)
		}
		if err := r.choice(c, s); err != nil {
			return err
		}
	}
	for _, hook := range []struct {
		name string
		num  *nftables.ChainHook
	}{{"prerouting", nftables.ChainHookPrerouting}, {"output", nftables.ChainHookOutput}} {
		chain := c.AddChain(&nftables.Chain{Name: hook.name, Table: r.table, Type: nftables.ChainTypeNAT, Hooknum: hook.num, Priority: nftables.ChainPriorityNATDest})
		if r.sockets && hook.num == nftables.ChainHookPrerouting {
			r.rule(c, chain, ours())
		}
		if err := r.entrance(c, chain); err != nil {
			return err
		}
	}
	if err := r.sources(c); err != nil {
		return err
	}
	return r.account(c)
}

// ours accepts packets without SYN that a connected socket of this machine waits for: connection
// tracking may not have seen their connection begin, and takes it for a new one.
func ours() exprs {
	return of(
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{kernel.TCP}},
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 1, Mask: []byte{tcpSYN}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{0}},
		&expr.Socket{Key: expr.SocketKeyWildcard, Register: unix.NFT_REG_1}, // 1: one that listens at all addresses
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{0}},
		&expr.Verdict{Kind: expr.VerdictAccept},
	)
}

// canTellSockets tells whether the kernel has what ours needs (nft_socket).
func canTellSockets(node string) bool {
	c, err := dial()
	if err != nil {
		return false
	}
	r := newRuleset(v4, tableName(node)+"-try", newOwner(), nil)
	c.AddTable(r.table)
	r.rule(c, c.AddChain(&nftables.Chain{Name: "try", Table: r.table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest}), ours())
	c.DelTable(r.table)
	return c.Flush() == nil
}

// server adds the chain of a server: who comes here is sent there.
func (r *ruleset) server(c *nftables.Conn, s *kernel.Service, i int) {
	to := s.Servers[i].Address
	if !r.has(to.Addr()) {
		return
	}
	chain := c.AddChain(&nftables.Chain{Name: serverChain(s, i), Table: r.table})
	c.AddObj(&nftables.NamedObj{Table: r.table, Name: chain.Name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}})
	r.rule(c, chain, of(
		&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: chain.Name},
		&expr.Immediate{Register: unix.NFT_REG_1, Data: addrBytes(to.Addr())},
		&expr.Immediate{Register: unix.NFT_REG_2, Data: portBytes(to.Port())[:2]},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(r.nfproto), RegAddrMin: unix.NFT_REG_1, RegProtoMin: unix.NFT_REG_2},
	))
}

// choice adds the chain of a service that goes to a server's, by the slot.
func (r *ruleset) choice(c *nftables.Conn, s *kernel.Service) error {
	chain := c.AddChain(&nftables.Chain{Name: slotsChain(s), Table: r.table})
	slots := r.slotsOf(s)
	if len(slots) == 0 {
		r.rule(c, chain, r.refuse(s.Protocol))
		return nil
	}
	set := &nftables.Set{Table: r.table, Name: chain.Name, IsMap: true, KeyType: nftables.TypeInteger, DataType: nftables.TypeVerdict, KeyByteOrder: hostOrder}
	if err := c.AddSet(set, nil); err != nil {
		return err
	}
	now, _ := slotElements(slots, nil, toServer(s))
	if err := addElements(c, set, now); err != nil {
		return err
	}
	r.slots[s.Name] = set
	r.rule(c, chain, r.slot(s.By, seedOf(s.Name), len(slots)), vmap(set))
	return nil
}

// entrances are where packets for services go: by address, protocol and port, and, of those
// at all addresses of the machine, by protocol and port.
func (f *family) entrances(services []kernel.Service, chain func(*kernel.Service) string) (exact, every []nftables.SetElement) {
	for i := range services {
		s := &services[i]
		for _, a := range s.Listen {
			if !f.has(a.Addr()) {
				continue
			}
			to := goTo(chain(s))
			if a.Addr().IsUnspecified() {
				every = append(every, nftables.SetElement{Key: join(protoBytes(s.Protocol), portBytes(a.Port())), VerdictData: to})
			} else {
				exact = append(exact, nftables.SetElement{Key: virtualBytes(s.Protocol, a), VerdictData: to})
			}
		}
	}
	return exact, every
}

// entrance adds what leads from a hook to the services: those at one address first.
func (r *ruleset) entrance(c *nftables.Conn, chain *nftables.Chain) error {
	exact, every := r.entrances(r.services, slotsChain)
	add := func(name string, key nftables.SetDatatype, elements []nftables.SetElement, before exprs) error {
		if len(elements) == 0 {
			return nil
		}
		set := &nftables.Set{Table: r.table, Name: chain.Name + "." + name, IsMap: true, Concatenation: true, KeyType: key, DataType: nftables.TypeVerdict}
		if err := c.AddSet(set, nil); err != nil {
			return err
		}
		if err := addElements(c, set, elements); err != nil {
			return err
		}
		r.rule(c, chain, before, vmap(set))
		return nil
	}
	if err := add("virtual", r.virtualKey(), exact, r.virtual()); err != nil {
		return err
	}
	return add("any", portKey(), every, rule(local(), protocol(reg), transport(2, 2, reg+1)))
}

func virtualBytes(protocol uint8, a netip.AddrPort) []byte {
	return join(addrBytes(a.Addr()), protoBytes(protocol), portBytes(a.Port()))
}

func (r *ruleset) rule(c *nftables.Conn, chain *nftables.Chain, parts ...exprs) {
	c.AddRule(&nftables.Rule{Table: r.table, Chain: chain, Exprs: rule(parts...)})
}

// set adds a set with all its elements; nil if there are none.
func (r *ruleset) set(c *nftables.Conn, s *nftables.Set, elements []nftables.SetElement) (*nftables.Set, error) {
	if len(elements) == 0 {
		return nil, nil
	}
	s.Table = r.table
	if err := c.AddSet(s, nil); err != nil {
		return nil, err
	}
	return s, addElements(c, s, elements)
}
