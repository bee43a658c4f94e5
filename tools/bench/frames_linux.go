package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// framer sends queries as frames in the form in which drivers of network cards
// have them (XDP frames), made by the kernel itself, where the blaster sends
// socket buffers. So AF_XDP need not turn the one into the other first, as no
// network card makes it do, and sockets need them turned into the other, as each
// network card does. (BPF_PROG_RUN in live frame mode, Linux 5.18.)
type framer struct {
	frame  []byte
	counts *ebpf.Map // see sink
	prog   *ebpf.Program
}

// framesAtOnce is how many frames, sent or held back, are between two looks at the clock.
const framesAtOnce = 1 << 15

// question is what all frames ask, but for pairs of octets that change from one
// to the next: one of a pair grows by what the other one shrinks, so that the
// checksum of all is the same (RFC 1071).
type question struct {
	query    []byte
	pairs    []int // where the first octet of each stands; the second one is two octets behind it
	from, to byte  // what it goes from and to
}

// frameNames is how many names the static question goes through.
const frameNames = 100

// frameName is one of them.
func frameName(i int) string {
	a, b := i/10%10, i%10
	return fmt.Sprintf("host%d%d%d%d.%s", a, b, 9-a, 9-b, xdpZone)
}

// questionFor makes the question of a load.
func questionFor(load string) (q question, err error) {
	m := new(dns.Msg).SetQuestion(frameName(0), dns.TypeA)
	m.RecursionDesired = false
	if load == xdpSteered {
		m.Question[0].Name = xdpSteeredName
		opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		opt.SetUDPSize(1232)
		opt.Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(1, 2, 254, 0).To4()}}
		m.Extra = []dns.RR{opt}
	} else {
		m.SetEdns0(1232, false)
	}
	if q.query, err = m.Pack(); err != nil {
		return q, err
	}
	if load == xdpSteered { // the address of the subnet is the message's end
		q.pairs, q.from, q.to = []int{len(q.query) - 3}, 1, 254
		return q, nil
	}
	at := strings.Index(string(q.query), "host") + len("host")
	q.pairs, q.from, q.to = []int{at, at + 1}, '0', '9'
	return q, nil
}

// at is the question in its nth form.
func (q *question) at(n int) []byte {
	b := bytes.Clone(q.query)
	for _, pair := range q.pairs {
		values := int(q.to-q.from) + 1
		b[pair], b[pair+2] = q.from+byte(n%values), q.to-byte(n%values)
		n /= values
	}
	return b
}

func newFramer(server, iface, station string, q question, s *sink) (*framer, error) {
	to, err := netip.ParseAddrPort(server)
	if err != nil {
		return nil, err
	}
	mac, err := net.ParseMAC(station)
	if err != nil {
		return nil, err
	}
	own, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, err
	}
	f := &framer{counts: s.counts, frame: frameOf(mac, own.HardwareAddr, netip.MustParseAddrPort(xdpClient+":4000"), to, q.query)}
	f.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "Apache-2.0", Instructions: framerInstructions(s.counts.FD(), own.Index, len(f.frame), q)})
	if err != nil {
		return nil, fmt.Errorf("the program that sends frames: %w", err)
	}
	return f, nil
}

// frameOf is a UDP datagram in an Ethernet frame (RFC 791, RFC 768).
func frameOf(dst, src net.HardwareAddr, from, to netip.AddrPort, payload []byte) []byte {
	sum := func(s uint32, b []byte) uint32 {
		for ; len(b) > 1; b = b[2:] {
			s += uint32(binary.BigEndian.Uint16(b))
		}
		if len(b) == 1 {
			s += uint32(b[0]) << 8
		}
		return s
	}
	fold := func(s uint32) uint16 {
		s = s>>16 + s&0xffff
		return ^uint16(s>>16 + s)
	}
	f := append(append(append([]byte{}, dst...), src...), 0x08, 0x00)
	ip := binary.BigEndian.AppendUint16([]byte{0x45, 0}, uint16(28+len(payload)))
	ip = append(append(append(ip, 0, 0, 0x40, 0, 64, unix.IPPROTO_UDP, 0, 0), from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(ip[10:], fold(sum(0, ip)))
	udp := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from.Port()), to.Port())
	udp = append(binary.BigEndian.AppendUint16(udp, uint16(8+len(payload))), 0, 0)
	udp = append(udp, payload...)
	binary.BigEndian.PutUint16(udp[6:], fold(sum(sum(unix.IPPROTO_UDP+uint32(len(udp)), ip[12:20]), udp)))
	return append(append(f, ip...), udp...)
}

// framerInstructions sends a frame to the interface while fewer than blastWindow
// are outstanding, each for the next name, and drops it else. R6 is the frame,
// R7 the counts, R8 how many were sent.
func framerInstructions(counts, iface, size int, q question) asm.Instructions {
	const (
		xdpDrop = 1
		value   = 8 // octets of a count
	)
	all := asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 0, asm.Word), asm.LoadMem(asm.R2, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R6), asm.Add.Imm(asm.R3, int32(size)), asm.JGT.Reg(asm.R3, asm.R2, "drop"),
	}
	// count leaves the pointer to a count in R0.
	count := func(i int64) asm.Instructions {
		return asm.Instructions{
			asm.StoreImm(asm.R10, -4, i, asm.Word), asm.LoadMapPtr(asm.R1, counts), asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, "drop"),
		}
	}
	all = append(all, asm.Mov.Imm(asm.R9, blastWindow))
	for _, i := range []int64{countAnswers, countOther, countLost} {
		all = append(append(all, count(i)...), asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord), asm.Add.Reg(asm.R9, asm.R1))
	}
	all = append(all, count(countSent)...)
	all = append(all,
		asm.LoadMem(asm.R8, asm.R0, 0, asm.DWord), asm.JGE.Reg(asm.R8, asm.R9, "drop"),
		asm.Mov.Reg(asm.R1, asm.R8), asm.Add.Imm(asm.R1, 1), asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
	)
	values := int32(q.to-q.from) + 1
	for i, pair := range q.pairs {
		at, divisor := int16(size-len(q.query)+pair), int32(1)
		for range i {
			divisor *= values
		}
		all = append(all,
			asm.Mov.Reg(asm.R1, asm.R8), asm.Div.Imm(asm.R1, divisor), asm.Mod.Imm(asm.R1, values),
			asm.Mov.Imm(asm.R2, int32(q.to)), asm.Sub.Reg(asm.R2, asm.R1), asm.Add.Imm(asm.R1, int32(q.from)),
			asm.StoreMem(asm.R6, at, asm.R1, asm.Byte), asm.StoreMem(asm.R6, at+2, asm.R2, asm.Byte),
		)
	}
	return append(all,
		asm.Mov.Imm(asm.R1, int32(iface)), asm.Mov.Imm(asm.R2, 0), asm.FnRedirect.Call(), asm.Return(),
		asm.Mov.Imm(asm.R0, xdpDrop).WithSymbol("drop"), asm.Return(),
	)
}

// run sends until then.
func (f *framer) run(until time.Time, s *sink) (sent uint64, err error) {
	before, progress := uint64(0), time.Now()
	for {
		if _, err := f.prog.Run(&ebpf.RunOptions{Data: f.frame, Repeat: framesAtOnce, Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES}); err != nil {
			return 0, fmt.Errorf("sending frames (needs Linux 5.18): %w", err)
		}
		if err := f.counts.Lookup(uint32(countSent), &sent); err != nil {
			return 0, err
		}
		answers, other := s.read()
		now := time.Now()
		switch {
		case now.After(until):
			return sent, nil
		case answers+other != before:
			before, progress = answers+other, now
		case now.Sub(progress) > blastPatience: // the rest is lost
			if err := f.counts.Put(uint32(countLost), sent-answers-other); err != nil {
				return 0, err
			}
			progress = now
		}
	}
}

func (f *framer) close() { f.prog.Close() }
