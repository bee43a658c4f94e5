package nft

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"gslb/balancer/kernel"
)

// memory is the sets of a family that outlive generations.
type memory struct{ conns, closing, virtual *nftables.Set }

// generation is a service in one family, as it is in the kernel.
type generation struct {
	*family
	*memory
	at    int    // which of the services
	name  string // of its chain; its sets' names begin with it
	out   map[netip.Addr]int
	slots *nftables.Set // slot -> mark
	alive *nftables.Set // mark -> chain of a server that packets may be sent to
	new   *nftables.Set // all marks; counts connections
	// taking is the marks of those with slots: a SYN for another one is of a new connection.
	taking *nftables.Set

	admits *admitting // nil: everybody
}

// markOf is the mark of a packet that is to go to a server: the same in every
// generation, since conns has it. (What is found in one map cannot be looked up in the next without
// it: the command nft would not be able to show that.)
func markOf(server netip.Addr) []byte {
	h := fnv.New32a()
	h.Write(server.AsSlice())
	return binary.NativeEndian.AppendUint32(nil, h.Sum32()|1)
}

func (g *generation) guardChain() string { return g.name + ".guard" }

func (g *generation) serverChain(i int) string { return fmt.Sprintf("%s.server.%d", g.name, i) }

func (f *family) digit() string {
	if f == v4 {
		return "4.g"
	}
	return "6.g"
}

// memory describes the sets; they are there already, or are made.
func (f *family) memory(t *nftables.Table) *memory {
	known := func(name string) *nftables.Set {
		return &nftables.Set{Table: t, Name: name + f.digit()[:1], IsMap: true, Dynamic: true, HasTimeout: true, Concatenation: true, Size: most,
			KeyType:  nftables.MustConcatSetType(f.addr, f.addr, nftables.TypeInetService, nftables.TypeInetService, nftables.TypeInetProto),
			DataType: nftables.TypeMark}
	}
	return &memory{conns: known("conns"), closing: known("closing"),
		virtual: &nftables.Set{Table: t, Name: "virtual" + f.digit()[:1], IsMap: true, Concatenation: true, KeyType: f.virtualKey(), DataType: nftables.TypeVerdict}}
}

func (g *generation) next(s *kernel.Service) func(uint16) nftables.SetElement {
	return func(i uint16) nftables.SetElement {
		return nftables.SetElement{Val: markOf(s.Servers[i].Address.Addr())}
	}
}

// takers are the marks of the servers with slots.
func (g *generation) takers(s *kernel.Service) (out []nftables.SetElement) {
	has := map[uint16]bool{}
	for _, i := range g.slotsOf(s) {
		if !has[i] {
			has[i] = true
			out = append(out, nftables.SetElement{Key: markOf(s.Servers[i].Address.Addr())})
		}
	}
	return out
}

// build adds the chain and the sets.
func (g *generation) build(c *nftables.Conn, t *nftables.Table, s *kernel.Service) error {
	c.AddChain(&nftables.Chain{Name: g.name, Table: t})
	g.slots = &nftables.Set{Table: t, Name: g.name + ".slots", IsMap: true, KeyType: nftables.TypeInteger, DataType: nftables.TypeMark, KeyByteOrder: hostOrder}
	g.alive = &nftables.Set{Table: t, Name: g.name + ".alive", IsMap: true, Counter: true, KeyType: nftables.TypeMark, DataType: nftables.TypeVerdict, KeyByteOrder: hostOrder}
	g.new = &nftables.Set{Table: t, Name: g.name + ".new", Counter: true, KeyType: nftables.TypeMark, KeyByteOrder: hostOrder}
	g.taking = &nftables.Set{Table: t, Name: g.name + ".taking", KeyType: nftables.TypeMark, KeyByteOrder: hostOrder}
	var all, alive []nftables.SetElement
	for i, one := range s.Servers {
		if !g.has(one.Address.Addr()) {
			continue
		}
		c.AddChain(&nftables.Chain{Name: g.serverChain(i), Table: t})
		key := markOf(one.Address.Addr())
		all = append(all, nftables.SetElement{Key: key})
		if !one.Gone {
			alive = append(alive, nftables.SetElement{Key: key, VerdictData: goTo(g.serverChain(i))})
		}
	}
	slots, _ := slotElements(g.slotsOf(s), nil, g.next(s))
	for _, set := range []struct {
		*nftables.Set
		elements []nftables.SetElement
	}{{g.slots, slots}, {g.alive, alive}, {g.new, all}, {g.taking, g.takers(s)}} {
		if err := c.AddSet(set.Set, nil); err != nil {
			return err
		}
		if err := addElements(c, set.Set, set.elements); err != nil {
			return err
		}
	}
	if g.admits == nil {
		return nil
	}
	c.AddChain(&nftables.Chain{Name: g.guardChain(), Table: t})
	return g.admits.build(c)
}

// ethernet matches frames of the family.
func (f *family) ethernet() exprs {
	kind := []byte{0x08, 0x00}
	if f == v6 {
		kind = []byte{0x86, 0xdd}
	}
	return of(&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: unix.NFT_REG_1}, &expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: kind})
}

func (f *family) virtualLoad() exprs { return f.virtual() }

// connection loads the key of conns.
func (f *family) connection() exprs {
	w := f.words()
	return rule(network(f.src, f.size, reg), network(f.dst, f.size, reg+w), transport(0, 2, reg+2*w), transport(2, 2, reg+2*w+1), protocol(reg+2*w+2))
}

// mark is the register behind that key.
func (f *family) mark() uint32 { return reg + 2*f.words() + 3 }

// Operations of nft_dynset, enum nft_dynset_ops.
const (
	opAdd    = 0
	opUpdate = 1
	opDelete = 2
)

// The flags of TCP: FIN and RST, SYN, ACK.
const (
	tcpEnds = 0x01 | 0x04
	tcpSYN  = 0x02
	tcpACK  = 0x10
)

// flags matches packets of TCP that have of the flags in mask those that are wanted, or,
// without a wanted one, any.
func flags(mask, wanted byte) exprs {
	op := expr.CmpOpEq
	if wanted == 0 {
		op = expr.CmpOpNeq
	}
	return of(
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 1, Mask: []byte{mask}, Xor: []byte{0}},
		&expr.Cmp{Op: op, Register: unix.NFT_REG_1, Data: []byte{wanted}},
	)
}

// synTime is how long a connection of which nothing but SYNs was seen is remembered at most:
// whoever floods with them must not fill the memory for long.
const synTime = 30 * time.Second

// freshTime is how long one of a service is: less than any other, so that it can be told.
func freshTime(s *kernel.Service) time.Duration { return min(s.Idle/2, synTime) }

// rules writes the chain. turnAway ends what is not admitted.
func (g *generation) rules(t *nftables.Table, s *kernel.Service, turnAway exprs) ([]rawRule, error) {
	load := of(&expr.Meta{Key: expr.MetaKeyMARK, Register: g.mark()})
	find := func(from *nftables.Set) exprs {
		return rule(of(&expr.Lookup{SourceRegister: reg, DestRegister: g.mark(), IsDestRegSet: true, SetID: from.ID, SetName: from.Name},
			&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: g.mark()}))
	}
	note := func(set *nftables.Set, operation uint32, time time.Duration) exprs {
		return of(&expr.Dynset{SrcRegKey: reg, SrcRegData: g.mark(), SetID: set.ID, SetName: set.Name, Operation: operation, Timeout: time})
	}
	count := rule(load, of(&expr.Lookup{SourceRegister: g.mark(), SetID: g.new.ID, SetName: g.new.Name}))
	send := rule(load, of(&expr.Lookup{SourceRegister: g.mark(), DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetID: g.alive.ID, SetName: g.alive.Name}))
	var out []rawRule
	var fault error
	add := func(parts ...exprs) {
		encoded, err := g.encode(parts...)
		if err != nil {
			fault = err
		}
		out = append(out, rawRule{t, g.name, encoded})
	}
	guard := of(&expr.Verdict{Kind: expr.VerdictJump, Chain: g.guardChain()})
	if g.admits != nil {
		for _, r := range g.admits.rules(turnAway) {
			encoded, err := g.encode(r)
			if err != nil {
				fault = err
			}
			out = append(out, rawRule{t, g.guardChain(), encoded})
		}
	}
	fresh := s.Idle
	if s.Protocol == kernel.TCP {
		fresh = freshTime(s)
		if g.admits != nil { // each SYN, also of a flow that is known: its port may be in use anew
			add(flags(tcpSYN|tcpACK, tcpSYN), guard)
		}
		add(flags(tcpEnds, 0), g.connection(), find(g.conns), g.connection(), load, note(g.closing, opUpdate, s.Close), note(g.conns, opDelete, 0), send)
		syn := flags(tcpSYN|tcpACK, tcpSYN)
		taking := rule(load, of(&expr.Lookup{SourceRegister: g.mark(), SetID: g.taking.ID, SetName: g.taking.Name}))
		add(syn, g.connection(), find(g.conns), taking, g.connection(), load, note(g.conns, opUpdate, fresh), send)
		for _, set := range []*nftables.Set{g.conns, g.closing} { // from a port that was in use before: a new connection
			add(syn, g.connection(), load, note(set, opDelete, 0))
		}
		add(g.connection(), find(g.closing), g.connection(), load, note(g.closing, opUpdate, s.Close), send)
	}
	add(g.connection(), find(g.conns), g.connection(), load, note(g.conns, opUpdate, s.Idle), send)
	if g.admits != nil && s.Protocol != kernel.TCP {
		add(guard)
	}
	if n := len(g.slotsOf(s)); n > 0 {
		by := s.By
		if s.Protocol == kernel.TCP {
			add(g.connection(), load, note(g.closing, opDelete, 0)) // of a server that is gone
		}
		add(g.connection(), load, note(g.conns, opDelete, 0))
		add(g.slot(by, seedOf(s.Name), n), find(g.slots), g.connection(), load, note(g.conns, opUpdate, fresh), count, send)
		if by == kernel.Turn {
			by = kernel.ByConnection // what is not remembered must go to the same server each time
		}
		add(g.slot(by, seedOf(s.Name), n), find(g.slots), count, send)
	}
	for i, one := range s.Servers {
		if !g.has(one.Address.Addr()) {
			continue
		}
		encoded, err := g.encode(of(
			&expr.Immediate{Register: unix.NFT_REG_1, Data: addrBytes(one.Address.Addr())},
			&expr.Immediate{Register: unix.NFT_REG_2, Data: binary.NativeEndian.AppendUint32(nil, uint32(g.out[one.Address.Addr()]))},
		))
		if err != nil {
			fault = err
		}
		out = append(out, rawRule{t, g.serverChain(i), append(encoded, g.forward())})
	}
	return out, fault
}

// forward sends the packet to the server: the kernel's neighbour table knows its
// Ethernet address, or asks for it. (The library does not have this expression.)
func (g *generation) forward() raw {
	const sregDev, sregAddr, nfproto = 1, 2, 3 // NFTA_FWD_*
	return named("fwd", sregDev, unix.NFT_REG_2, sregAddr, unix.NFT_REG_1, nfproto, uint32(g.nfproto))
}
