package dnsserver

import (
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"gslb/zones"
)

// canBatch tells whether this system can take several queries in one call.
const canBatch = true

const (
	// batchOut is the room for one UDP answer: the largest that configuration
	// allows, and what the encoder may write before it sees that it is too much.
	batchOut = 2*mostUDPSize + maxRecordHead + 512
	// batchIn keeps queries apart: at a power of two all would want the same sets
	// of the cache. Memory that no query was long enough for is never touched.
	batchIn  = 64<<10 + 3*64
	batchOOB = maxOOB
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// batch is the memory of a goroutine that takes queries and sends answers many
// at a time (recvmmsg(2), sendmmsg(2)). Slot i of in and out belong together.
type batch struct {
	l         *udpListener
	s         *Server
	w         *responder
	transport *atomic.Uint64 // counts queries

	in, out  []mmsghdr
	inIOV    []unix.Iovec
	outIOV   []unix.Iovec
	names    []unix.RawSockaddrInet6 // large enough for both families
	queries  []byte
	answers  []byte
	control  []byte
	wildcard bool
	ahead    *zones.Ahead
}

func newBatch(l *udpListener, s *Server, w *responder, n int) *batch {
	b := &batch{
		l: l, s: s, w: w, wildcard: l.wildcard, transport: &w.count.queries[udp4],
		in: make([]mmsghdr, n), out: make([]mmsghdr, n),
		inIOV: make([]unix.Iovec, n), outIOV: make([]unix.Iovec, n), names: make([]unix.RawSockaddrInet6, n),
		queries: make([]byte, n*batchIn), answers: make([]byte, n*batchOut), control: make([]byte, n*batchOOB), ahead: zones.NewAhead(n),
	}
	w.batched = true
	if l.six {
		b.transport = &w.count.queries[udp6]
	}
	for i := range b.in {
		b.inIOV[i].Base = &b.queries[i*batchIn]
		b.inIOV[i].SetLen(maxQuery)
		h := &b.in[i].hdr
		h.Iov, h.Name = &b.inIOV[i], (*byte)(unsafe.Pointer(&b.names[i]))
		h.SetIovlen(1)
		if b.wildcard {
			h.Control = &b.control[i*batchOOB]
		}
	}
	b.reset(n)
	return b
}

// serveBatch answers until the socket fails or is stopped. All calls of a busy
// worker go around the scheduler (RawSyscall): none of them waits for long.
func (l *udpListener) serveBatch(s *Server, w *responder, n int) error {
	b := newBatch(l, s, w, n)
	defer l.sock.Release()
	for failures := 0; !l.sock.stopped.Load(); {
		n, errno := l.sock.receive(b.in)
		switch errno {
		case 0:
			failures = 0
			b.transport.Add(uint64(n))
			answers := b.answer(n)
			b.w.publish()
			b.send(answers)
			b.reset(n)
		case unix.EAGAIN:
			l.sock.wait()
		case unix.EINTR: // a signal of the runtime, for one
		default:
			// An ICMP error for an earlier answer shows up here: go on, but not for ever.
			if failures++; failures > 1000 {
				return fmt.Errorf("receive: %w", errno)
			}
		}
	}
	return nil
}

// reset makes room again in the first n headers, whose lengths recvmmsg wrote.
func (b *batch) reset(n int) {
	for i := range b.in[:n] {
		h := &b.in[i].hdr
		h.Namelen = uint32(unsafe.Sizeof(b.names[0]))
		if b.wildcard {
			h.SetControllen(batchOOB)
		}
	}
}

// readAhead has what the first n queries will be answered from read for all of them
// together, where that is more than fits into the processor's caches.
func (b *batch) readAhead(n int) {
	db := b.s.gen.Load().DB
	if n < 2 || !db.Large() {
		return
	}
	for i := range n {
		if m := &b.in[i]; m.len > headerLen {
			b.ahead.Add(db, b.queries[i*batchIn+headerLen:i*batchIn+int(m.len)])
		}
	}
	b.ahead.Read(db)
}

// answer answers the first n queries and returns how many answers there are.
func (b *batch) answer(n int) int {
	b.readAhead(n)
	k := 0
	for i := range n {
		m := &b.in[i]
		src := sender(&b.names[i])
		if m.hdr.Flags&unix.MSG_TRUNC != 0 || !src.IsValid() || src.Port() == 0 {
			b.w.count.dropped.Add(1) // longer than any query, or nowhere to answer to
			continue
		}
		at := i * batchOut
		query := b.queries[i*batchIn : i*batchIn+int(m.len)]
		client, query, ok := b.s.unwrap(query, src)
		if !ok {
			continue
		}
		reply := b.s.answer(b.w, query, client, false, b.answers[at:at:at+batchOut])
		if len(reply) == 0 {
			switch {
			case b.w.waiting != nil:
				q := b.w.fill(query, client)
				b.origin(&q.origin, i)
				b.s.proofs.waiting <- q
			case b.w.handed:
				b.w.handed = false
				o := new(origin)
				b.origin(o, i)
				b.s.handOver(b.w, query, client, o.send)
			}
			continue
		}
		b.outIOV[k].Base = &reply[0]
		b.outIOV[k].SetLen(len(reply))
		h := &b.out[k].hdr
		h.Name, h.Namelen = m.hdr.Name, m.hdr.Namelen
		h.Iov = &b.outIOV[k]
		h.SetIovlen(1)
		h.Control = nil
		h.SetControllen(0)
		if b.wildcard {
			if oob := replyFrom(b.control[i*batchOOB:i*batchOOB+int(m.hdr.Controllen)], b.l.six); oob != nil {
				h.Control = &oob[0]
				h.SetControllen(len(oob))
			}
		}
		k++
	}
	return k
}

// batchOrigin is the part of an origin that is of a socket which is served in batches.
type batchOrigin struct {
	sock *batchSocket
	name unix.RawSockaddrInet6
	size uint32
}

// origin notes where the answer to query i goes.
func (b *batch) origin(o *origin, i int) {
	o.conn, o.batched, o.oobLen = nil, batchOrigin{b.l.sock, b.names[i], b.in[i].hdr.Namelen}, 0
	if b.wildcard {
		o.oobLen = copy(o.oob[:], replyFrom(b.control[i*batchOOB:i*batchOOB+int(b.in[i].hdr.Controllen)], b.l.six))
	}
}

func (o *batchOrigin) send(msg, oob []byte) error {
	iov := unix.Iovec{Base: &msg[0]}
	iov.SetLen(len(msg))
	h := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&o.name)), Namelen: o.size, Iov: &iov}
	h.SetIovlen(1)
	if len(oob) > 0 {
		h.Control = &oob[0]
		h.SetControllen(len(oob))
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(o.sock.fd), uintptr(unsafe.Pointer(&h)), unix.MSG_DONTWAIT)
	return os.NewSyscallError("sendmsg", errnoOf(errno))
}

func errnoOf(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// sender is where a message came from.
func sender(sa *unix.RawSockaddrInet6) netip.AddrPort {
	port := sa.Port>>8 | sa.Port<<8 // network byte order
	if sa.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr), port)
	}
	if sa.Family != unix.AF_INET6 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), port)
}

// send sends the first n answers. One that the system refuses is counted and
// left out, the others go on; while the send buffer is full they are dropped,
// as the network would.
func (b *batch) send(n int) {
	for at := 0; at < n; {
		sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(b.l.sock.fd), uintptr(unsafe.Pointer(&b.out[at])), uintptr(n-at), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			at += int(sent)
		case unix.EINTR:
		default:
			b.w.count.sendFail.Add(1)
			at++
		}
	}
}
