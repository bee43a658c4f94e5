package afxdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Verdicts of an XDP program (enum xdp_action of linux/bpf.h).
const xdpPass = 2

// maxServed is how many pairs of local address and port can be served.
const maxServed = 1024

// program is the XDP program of one interface with its maps. It looks at a frame
// in this order, and passes what fails a test:
//
//	length               room for the headers of a query, at most maxFrame
//	destination station  this interface's own address
//	type                 IPv4 or IPv6 itself: a VLAN tag fails
//	IP header            no options or extension headers, no fragment, UDP
//	source port          not 0
//	DNS header           a query, opcode QUERY (RFC 1035, section 4.1.1)
//	address and port     in the map of those that are served
//	receive queue        in the map of those that have a socket
type program struct {
	sockets *ebpf.Map // receive queue -> AF_XDP socket
	served4 *ebpf.Map // key4 -> anything
	served6 *ebpf.Map // key6 -> anything
	prog    *ebpf.Program
	link    link.Link // nil until attached

	serving map[netip.AddrPort]bool // what is in the served maps
}

// key4 and key6 are an address and a port as they stand in headers.
type (
	key4 [8]byte  // 4 of address, 2 of port, 2 unused
	key6 [20]byte // 16 of address, 2 of port, 2 unused
)

func newProgram(l *linkFacts) (p *program, err error) {
	p = &program{serving: make(map[netip.AddrPort]bool)}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	make := func(name string, t ebpf.MapType, key, n int) (m *ebpf.Map) {
		if err == nil {
			m, err = ebpf.NewMap(&ebpf.MapSpec{Name: name, Type: t, KeySize: uint32(key), ValueSize: 4, MaxEntries: uint32(n)})
		}
		return m
	}
	p.sockets = make("gslb_sockets", ebpf.XSKMap, 4, l.rxQueues)
	p.served4 = make("gslb_served4", ebpf.Hash, len(key4{}), maxServed)
	p.served6 = make("gslb_served6", ebpf.Hash, len(key6{}), maxServed)
	if err != nil {
		return p, fmt.Errorf("making the maps of the XDP program: %w", explain(err))
	}
	p.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "gslb_queries", Type: ebpf.XDP, License: "Apache-2.0",
		Instructions: instructions(l.station, p.sockets.FD(), p.served4.FD(), p.served6.FD()),
	})
	if err != nil {
		return p, fmt.Errorf("loading the XDP program: %w", explain(err))
	}
	return p, nil
}

// instructions is the program. R6 is the context, R7 the frame's start, R8 its end.
func instructions(station [6]byte, sockets, served4, served6 int) asm.Instructions {
	const (
		ip     = etherLen
		udp4   = ip + ip4Len
		udp6   = ip + ip6Len
		dns    = udpLen // from the UDP header
		least  = udpLen + 12
		source = 0
		port   = 2
	)
	pass := func(j asm.JumpOp, v int32) asm.Instruction { return j.Imm32(asm.R1, v, "pass") }
	load := func(off int16, size asm.Size) asm.Instruction { return asm.LoadMem(asm.R1, asm.R7, off, size) }
	// bound passes a frame that n octets from its start are past the end of (JGT), or before it (JLT).
	bound := func(n int32, j asm.JumpOp) asm.Instructions {
		return asm.Instructions{asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Imm(asm.R1, n), j.Reg(asm.R1, asm.R8, "pass")}
	}
	// query passes what is not a query from a real port.
	query := func(udp int16) asm.Instructions {
		return asm.Instructions{
			load(udp+source, asm.Half), pass(asm.JEq, 0),
			load(udp+dns+2, asm.Byte), pass(asm.JSet, 0xf8), // QR and Opcode
		}
	}
	// lookUp passes what the map with that key at R10-size does not have.
	lookUp := func(m int, size int32) asm.Instructions {
		return asm.Instructions{
			asm.LoadMapPtr(asm.R1, m), asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -size),
			asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, "pass"),
		}
	}
	keep := func(at, from int16, size asm.Size) asm.Instructions {
		return asm.Instructions{load(from, size), asm.StoreMem(asm.R10, at, asm.R1, size)}
	}

	var all asm.Instructions
	add := func(parts ...asm.Instructions) {
		for _, p := range parts {
			all = append(all, p...)
		}
	}
	one := func(i ...asm.Instruction) asm.Instructions { return i }
	add(
		one(asm.Mov.Reg(asm.R6, asm.R1), asm.LoadMem(asm.R7, asm.R6, 0, asm.Word), asm.LoadMem(asm.R8, asm.R6, 4, asm.Word)),
		bound(udp4+least, asm.JGT), bound(maxFrame, asm.JLT),
		one(
			load(0, asm.Word), pass(asm.JNE, int32(binary.NativeEndian.Uint32(station[:4]))),
			load(4, asm.Half), pass(asm.JNE, int32(binary.NativeEndian.Uint16(station[4:]))),
			load(12, asm.Half), asm.JEq.Imm32(asm.R1, wire(etherIP6), "ip6"), pass(asm.JNE, wire(etherIP4)),
			load(ip, asm.Byte), pass(asm.JNE, 0x45),
			load(ip+6, asm.Half), pass(asm.JSet, wire(0xffff&^dontFragment)),
			load(ip+9, asm.Byte), pass(asm.JNE, protoUDP),
		),
		query(udp4),
		keep(-8, ip+16, asm.Word), keep(-4, udp4+port, asm.Half), one(asm.StoreImm(asm.R10, -2, 0, asm.Half)),
		lookUp(served4, 8),
		one(asm.Ja.Label("redirect")),
	)
	six := bound(udp6+least, asm.JGT)
	six[0] = six[0].WithSymbol("ip6")
	add(
		six,
		one(
			load(ip, asm.Byte), asm.And.Imm(asm.R1, 0xf0), pass(asm.JNE, 0x60),
			load(ip+6, asm.Byte), pass(asm.JNE, protoUDP),
		),
		query(udp6),
		keep(-20, ip+24, asm.Word), keep(-16, ip+28, asm.Word), keep(-12, ip+32, asm.Word), keep(-8, ip+36, asm.Word),
		keep(-4, udp6+port, asm.Half), one(asm.StoreImm(asm.R10, -2, 0, asm.Half)),
		lookUp(served6, 20),
		one(
			asm.LoadMapPtr(asm.R1, sockets).WithSymbol("redirect"),
			asm.LoadMem(asm.R2, asm.R6, 16, asm.Word), // rx_queue_index
			asm.Mov.Imm(asm.R3, xdpPass),              // where the queue has no socket
			asm.FnRedirectMap.Call(), asm.Return(),
			asm.Mov.Imm(asm.R0, xdpPass).WithSymbol("pass"), asm.Return(),
		),
	)
	return all
}

// wire is a number in network byte order as the program loads it.
func wire(v uint16) int32 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return int32(binary.NativeEndian.Uint16(b[:]))
}

// attach puts the program in force: in the driver, or, where that cannot do it,
// in the network stack. why tells what the driver said then.
func (p *program) attach(index int) (native bool, why error, err error) {
	for _, mode := range []link.XDPAttachFlags{link.XDPDriverMode, link.XDPGenericMode} {
		p.link, err = link.AttachXDP(link.XDPOptions{Program: p.prog, Interface: index, Flags: mode})
		native = mode == link.XDPDriverMode
		switch {
		case err == nil:
			return native, why, nil
		case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
			return false, nil, errors.New("another XDP program is attached to the interface already")
		case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
			return false, nil, explain(err)
		case native:
			why = err
		}
	}
	return false, nil, fmt.Errorf("attaching the XDP program: %w; in the driver: %w", err, why)
}

// serve makes the maps hold exactly these addresses and ports.
func (p *program) serve(want map[netip.AddrPort]bool) error {
	for a := range p.serving {
		if !want[a] {
			if err := p.change(a, (*ebpf.Map).Delete); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				return fmt.Errorf("taking %s from the served addresses: %w", a, err)
			}
			delete(p.serving, a)
		}
	}
	put := func(m *ebpf.Map, key any) error { return m.Put(key, uint32(1)) }
	for a := range want {
		if !p.serving[a] {
			if err := p.change(a, put); err != nil {
				return fmt.Errorf("adding %s to the %d served addresses (at most %d of each family): %w", a, len(p.serving), maxServed, err)
			}
			p.serving[a] = true
		}
	}
	return nil
}

func (p *program) change(a netip.AddrPort, f func(*ebpf.Map, any) error) error {
	if ip := a.Addr(); ip.Is4() {
		var k key4
		b := ip.As4()
		copy(k[:], b[:])
		binary.BigEndian.PutUint16(k[4:], a.Port())
		return f(p.served4, k)
	}
	var k key6
	b := a.Addr().As16()
	copy(k[:], b[:])
	binary.BigEndian.PutUint16(k[16:], a.Port())
	return f(p.served6, k)
}

// detach takes the program out of force.
func (p *program) detach() {
	if p.link != nil {
		p.link.Close()
		p.link = nil
	}
}

// close detaches the program and frees all of it.
func (p *program) close() {
	p.detach()
	if p.prog != nil {
		p.prog.Close()
	}
	for _, m := range []*ebpf.Map{p.sockets, p.served4, p.served6} {
		if m != nil {
			m.Close()
		}
	}
}

// explain says which right an error of the kernel asks for.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w (it needs CAP_NET_ADMIN, CAP_BPF and CAP_NET_RAW; kernels before 5.11 also a higher RLIMIT_MEMLOCK)", err)
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%w (its memory is locked: raise RLIMIT_MEMLOCK, LimitMEMLOCK= of the unit, or give CAP_IPC_LOCK)", err)
	}
	return err
}
