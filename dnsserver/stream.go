package dnsserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"time"
)

// stream is one connection with a goroutine of its own. On TCP itself it holds
// buffers only while there is something in them: thousands of idle connections
// must not cost more than themselves. What is read through another net.Conn
// (crypto/tls) needs its buffer before there is something to read.
type stream struct {
	link
	s   *Server
	c   net.Conn
	src netip.AddrPort

	transport int  // what its queries count as
	encrypted bool // st.c is of crypto/tls
	front     bool // src is a front end, until begin knows the client
	web       bool // what comes over it is HTTP

	b   *streamBuffers // nil while there is nothing in them
	got int            // octets of the last read
	err error          // of the last read
}

// stream makes one of a connection; c may be set later.
func (s *Server) stream(c net.Conn, src netip.AddrPort, transport int) *stream {
	st := &stream{s: s, c: c, src: src, transport: transport}
	st.hang = st
	return st
}

// evict is part of hanger. Answers may be on their way: reading ends.
func (st *stream) evict() {
	if st.web { // whose deadlines are net/http's
		st.c.(*tls.Conn).NetConn().Close()
		return
	}
	st.c.SetReadDeadline(time.Unix(1, 0))
}

// end is part of hanger.
func (st *stream) end() {
	if st.web {
		st.evict()
		return
	}
	st.c.SetDeadline(time.Unix(1, 0))
}

// streamBuffers is what serving a connection needs; used again by the next one.
type streamBuffers struct {
	w *responder
	// in has what was received and not yet answered: in[from:to].
	in       []byte
	from, to int
	// out[:end] are answers to be sent, each with its length before it.
	out []byte
	end int
}

const (
	streamRead = 4096 // octets of a read, more for a message that is longer
	// tcpGather is how much of answers is gathered before it is sent, while more
	// queries are there. Room for the largest answer comes behind it.
	tcpGather = 16 << 10
	tcpOut    = tcpGather + 2 + maxMessage + maxRecordHead
	// lastWrite bounds how long the answers of a connection that ends may take.
	lastWrite = time.Second
)

func (s *Server) streamBuffers() *streamBuffers {
	if b, ok := s.streams.pool.Get().(*streamBuffers); ok {
		return b
	}
	shard := int(s.streams.made.Add(1) % streamShards)
	b := &streamBuffers{w: s.responder(shard, &s.streams.counters[shard]), in: make([]byte, streamRead), out: make([]byte, tcpOut)}
	b.w.batched, b.w.signs = true, signsHere
	return b
}

// release gives the buffers back when nothing is in them.
func (st *stream) release() {
	b := st.b
	if b == nil || b.from < b.to || b.end > 0 {
		return
	}
	st.b = nil
	st.s.giveBuffers(b)
}

// giveBuffers takes buffers back that have nothing in them any more.
func (s *Server) giveBuffers(b *streamBuffers) {
	b.from, b.to = 0, 0
	if len(b.in) > 4*streamRead { // for a message such as hardly ever comes
		b.in = make([]byte, streamRead)
	}
	b.w.handed, b.w.others = false, s.other != nil
	s.streams.pool.Put(b)
}

// room gives the part of the buffer to read into; at least one octet.
func (st *stream) room() []byte {
	if st.b == nil {
		st.b = st.s.streamBuffers()
		st.b.w.encrypted = st.encrypted
	}
	b := st.b
	if b.from > 0 {
		b.to = copy(b.in, b.in[b.from:b.to])
		b.from = 0
	}
	if b.to >= 2 {
		if n := 2 + int(binary.BigEndian.Uint16(b.in)); n > len(b.in) {
			b.in = append(make([]byte, 0, n), b.in[:b.to]...)[:n]
		}
	}
	return b.in[b.to:]
}

// readAhead reads once, with a buffer taken before there is anything to read.
func (st *stream) readAhead() error {
	n, err := st.c.Read(st.room())
	if n > 0 {
		st.b.to += n
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// converse answers the queries of the connection in the order they come. It
// sends what it has before it waits for more (RFC 7766, section 6.2.1.1).
func (st *stream) converse(ctx context.Context) {
	defer func() {
		if st.b != nil {
			st.b.from, st.b.to = 0, 0
			st.flush(lastWrite)
			st.b.end = 0
			st.release()
		}
	}()
	read := st.reader()
	for fresh := true; ; {
		now := time.Now()
		if fresh { // a message that has begun must come to its end within the same time
			st.readWithin(now.Add(st.s.cfg.TCPIdle))
		}
		if ctx.Err() != nil { // after setting the deadline: the end sets one too
			return
		}
		st.release()
		since := now.UnixNano()
		st.idle.Store(since)
		err := read()
		chosen := !st.idle.CompareAndSwap(since, 0) // to be closed for another one
		if err != nil {
			return
		}
		answered, ok := st.answer(ctx)
		if !ok || chosen || !st.flush(st.s.cfg.TCPIdle) {
			return
		}
		if st.b.w.handed {
			st.slow().converse(ctx)
			return
		}
		fresh = answered > 0
	}
}

// readWithin sets until when reading may go on. Reading from crypto/tls may write too.
func (st *stream) readWithin(end time.Time) {
	if st.encrypted {
		st.c.SetDeadline(end)
		return
	}
	st.c.SetReadDeadline(end)
}

// answer answers all messages that are there, whole (RFC 1035, section 4.2.2);
// ok is false when there is no point in going on.
func (st *stream) answer(ctx context.Context) (answered int, ok bool) {
	b := st.b
	transport := &b.w.count.queries[st.transport]
	defer func() { // before anything is sent
		transport.Add(uint64(answered))
		b.w.publish()
	}()
	for b.to-b.from >= 2 {
		next := b.from + 2 + int(binary.BigEndian.Uint16(b.in[b.from:]))
		if next > b.to {
			break
		}
		answered++
		at := b.end + 2
		reply := st.s.answer(b.w, b.in[b.from+2:next], st.src, true, b.out[at:at:at+maxMessage+maxRecordHead])
		if len(reply) == 0 && b.w.handed {
			return answered - 1, true // it stays in b.in, for slow
		}
		b.from = next
		if len(reply) == 0 {
			return answered, false // not DNS
		}
		binary.BigEndian.PutUint16(b.out[b.end:], uint16(len(reply)))
		b.end = at + len(reply)
		if b.end > tcpGather && (!st.flush(st.s.cfg.TCPIdle) || ctx.Err() != nil) {
			return answered, false
		}
	}
	return answered, true
}

// slow gives the connection to those who answer what is not a plain query.
func (st *stream) slow() *slowStream {
	b := st.b
	pending := bytes.Clone(b.in[b.from:b.to])
	b.from = b.to
	b.w.handed = false
	st.release()
	return st.slowWith(pending)
}

// slowWith is slow of a connection that holds no buffers.
func (st *stream) slowWith(pending []byte) *slowStream {
	shard := int(st.s.streams.made.Add(1) % streamShards)
	c := &st.s.streams.counters[shard]
	slow := &slowStream{s: st.s, c: st.c, from: st.src, w: st.s.responder(shard, c), transport: &c.queries[st.transport], pending: pending}
	slow.w.encrypted, slow.w.signs = st.encrypted, signsHere
	if c, ok := st.c.(*tls.Conn); ok {
		slow.tls = new(c.ConnectionState())
	}
	slow.link = &st.link
	return slow
}

// flush sends the answers that are ready. A client that takes none of them holds
// this one buffer, and is not read from, until the time is over.
func (st *stream) flush(within time.Duration) bool {
	b := st.b
	if b.end == 0 {
		return true
	}
	st.c.SetWriteDeadline(time.Now().Add(within))
	_, err := st.c.Write(b.out[:b.end])
	b.end = 0
	return err == nil
}
