package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// blastCommand, a server, an interface, a length and a load make this program send
// queries as fast as they are answered, and count the answers. With the server's
// Ethernet address the queries are frames (see framer), else a socket's.
const blastCommand = "blast"

// blasted is what came of it, as JSON.
type blasted struct {
	Sent    uint64  `json:"sent"`
	Answers uint64  `json:"answers"` // NOERROR with at least one record
	Other   uint64  `json:"other"`   // from the server's port, but anything else
	Seconds float64 `json:"seconds"`
}

// blast sends queries over one socket, and never takes an answer: a program at
// the interface (TCX) counts and drops them. On a veth pair, what a client does
// with its answers would run on the server's core.
func blast(args []string, out io.Writer) error {
	if len(args) != 4 && len(args) != 5 {
		return errors.New("blast: want a server, an interface, a length, a load and, for frames, the server's station")
	}
	q, err := questionFor(args[3])
	if err != nil {
		return err
	}
	length, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	s, err := newSink(args[1])
	if err != nil {
		return err
	}
	defer s.close()
	var r blasted
	if len(args) == 5 {
		f, err := newFramer(args[0], args[1], args[4], q, s)
		if err != nil {
			return err
		}
		defer f.close()
		began := time.Now()
		if r.Sent, err = f.run(began.Add(length), s); err != nil {
			return err
		}
		r.Seconds = time.Since(began).Seconds()
		r.Answers, r.Other = s.read()
		return json.NewEncoder(out).Encode(r)
	}
	c, err := net.Dial("udp4", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		return err
	}
	b := newBlaster(q)
	began := time.Now()
	if e := raw.Control(func(fd uintptr) { r.Sent, err = b.run(fd, began.Add(length), s) }); e != nil || err != nil {
		return errors.Join(e, err)
	}
	r.Seconds = time.Since(began).Seconds()
	r.Answers, r.Other = s.read()
	return json.NewEncoder(out).Encode(r)
}

// blaster has a batch of queries for different names.
type blaster struct {
	headers [echoBatch]mmsghdr
	vectors [echoBatch]unix.Iovec
	data    [echoBatch][]byte
}

func newBlaster(q question) *blaster {
	b := new(blaster)
	for i := range b.data {
		b.data[i] = q.at(i)
		b.vectors[i].Base = &b.data[i][0]
		b.vectors[i].SetLen(len(b.data[i]))
		b.headers[i].header.Iov = &b.vectors[i]
		b.headers[i].header.SetIovlen(1)
	}
	return b
}

const (
	// blastWindow is how many queries are outstanding: always some, so that the
	// server never waits, and not so many that it loses any: a veth interface has
	// room for 256.
	blastWindow = 192
	// blastPatience is how long the generator waits when no answer comes, before it
	// takes what is outstanding for lost.
	blastPatience = 5 * time.Millisecond
)

// run sends until then.
func (b *blaster) run(fd uintptr, until time.Time, s *sink) (sent uint64, err error) {
	var lost, before uint64
	progress := time.Now()
	for {
		answers, other := s.read()
		if done := answers + other + lost; sent+echoBatch > done+blastWindow {
			now := time.Now()
			switch {
			case now.After(until):
				return sent, nil
			case answers != before:
				before, progress = answers, now
			case now.Sub(progress) > blastPatience:
				lost, progress = sent-answers-other, now
			}
			continue
		}
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.headers[0])), echoBatch, 0, 0, 0)
		switch errno {
		case 0:
			sent += uint64(n)
		case syscall.EINTR, syscall.EAGAIN, syscall.ENOBUFS, syscall.ECONNREFUSED:
		default:
			return sent, fmt.Errorf("sendmmsg: %w", errno)
		}
	}
}

// The counts of a sink and of a framer.
const (
	countAnswers = iota
	countOther
	countSent
	countLost
	allCounts
)

// sink drops what comes from a DNS server, and counts it.
type sink struct {
	counts *ebpf.Map
	memory *ebpf.Memory // of counts
	prog   *ebpf.Program
	link   link.Link
}

func newSink(name string) (s *sink, err error) {
	s = new(sink)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	i, err := net.InterfaceByName(name)
	if err != nil {
		return s, err
	}
	if s.counts, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: allCounts, Flags: unix.BPF_F_MMAPABLE}); err != nil {
		return s, fmt.Errorf("sink: %w", err)
	}
	if s.memory, err = s.counts.Memory(); err != nil {
		return s, fmt.Errorf("sink: %w", err)
	}
	s.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: sinkInstructions(s.counts.FD())})
	if err != nil {
		return s, fmt.Errorf("sink: %w", err)
	}
	if s.link, err = link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: s.prog, Attach: ebpf.AttachTCXIngress}); err != nil {
		return s, fmt.Errorf("sink (TCX needs Linux 6.6): %w", err)
	}
	return s, nil
}

// sinkInstructions passes (-1, TCX_NEXT) all but UDP over IPv4 from port 53,
// which it counts and drops (2, TCX_DROP). R7 is the frame's start, R8 its end.
func sinkInstructions(counts int) asm.Instructions {
	const udp = 14 + 20
	wire := func(v uint16) int32 {
		return int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)))
	}
	return asm.Instructions{
		asm.LoadMem(asm.R7, asm.R1, 76, asm.Word), asm.LoadMem(asm.R8, asm.R1, 80, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Imm(asm.R1, udp+8+12), asm.JGT.Reg(asm.R1, asm.R8, "pass"),
		asm.LoadMem(asm.R1, asm.R7, 12, asm.Half), asm.JNE.Imm32(asm.R1, wire(0x0800), "pass"),
		asm.LoadMem(asm.R1, asm.R7, 23, asm.Byte), asm.JNE.Imm32(asm.R1, 17, "pass"),
		asm.LoadMem(asm.R1, asm.R7, udp, asm.Half), asm.JNE.Imm32(asm.R1, wire(53), "pass"),
		asm.StoreImm(asm.R10, -4, 1, asm.Word),
		asm.LoadMem(asm.R1, asm.R7, udp+8+2, asm.Half), asm.And.Imm(asm.R1, wire(0x800f)), asm.JNE.Imm32(asm.R1, wire(0x8000), "count"), // QR, RCODE
		asm.LoadMem(asm.R1, asm.R7, udp+8+6, asm.Half), asm.JEq.Imm32(asm.R1, 0, "count"), // ANCOUNT
		asm.StoreImm(asm.R10, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, counts).WithSymbol("count"), asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -4), asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.Mov.Imm(asm.R1, 1), asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 2).WithSymbol("drop"), asm.Return(),
		asm.Mov.Imm(asm.R0, -1).WithSymbol("pass"), asm.Return(),
	}
}

// read gives the two counts, without a call of the kernel.
func (s *sink) read() (answers, other uint64) {
	var b [16]byte
	_, _ = s.memory.ReadAt(b[:], 0) // cannot fail: the map has two values
	return binary.NativeEndian.Uint64(b[:8]), binary.NativeEndian.Uint64(b[8:])
}

func (s *sink) close() {
	if s.link != nil {
		s.link.Close()
	}
	if s.prog != nil {
		s.prog.Close()
	}
	if s.counts != nil {
		s.counts.Close()
	}
}
