package dnsserver

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// udpListener is one UDP socket; several share an address (SO_REUSEPORT), one
// for each serving goroutine.
type udpListener struct {
	configured string // its address, as the configuration has it
	addr       netip.AddrPort
	six        bool
	wildcard   bool         // answers must leave from the address that was asked
	cpu        int          // to serve on; -1: any
	conn       *net.UDPConn // nil when it is served in batches
	sock       *batchSocket // nil when it is not
}

// maxQuery is the largest UDP query that is read. Few are near it, but padding
// and options of clients to come may make them long.
const maxQuery = maxMessage

// maxOOB is the room for what tells the address that was asked: one IP_PKTINFO or
// IPV6_PKTINFO.
const maxOOB = 64

// origin is where an answer over UDP goes that is sent later, when the buffers of its query
// serve others.
type origin struct {
	conn    *net.UDPConn // of a socket that is served singly; nil: batched has it
	to      netip.AddrPort
	batched batchOrigin
	oob     [maxOOB]byte // has the address to answer from
	oobLen  int
}

// send sends an answer.
func (o *origin) send(msg []byte) error {
	if o.conn == nil {
		return o.batched.send(msg, o.oob[:o.oobLen])
	}
	_, _, err := o.conn.WriteMsgUDPAddrPort(msg, o.oob[:o.oobLen], o.to)
	return err
}

// serve answers until the socket fails or ctx ends.
func (l *udpListener) serve(ctx context.Context, s *Server, w *responder) error {
	s.pin(l.cpu)
	if l.sock != nil {
		return l.serveBatch(s, w, s.cfg.Batch)
	}
	return l.serveSingly(ctx, s, w)
}

// pin keeps the goroutine on a CPU, if one is given.
func (s *Server) pin(cpu int) {
	if cpu < 0 {
		return
	}
	// The thread ends with the goroutine: nobody else is to inherit its CPU.
	if err := pinThread(cpu); err != nil {
		s.log.Warn("cannot keep a DNS worker on its CPU; it goes on without", "cpu", cpu, "error", err)
	}
}

// stop makes serve end soon.
func (l *udpListener) stop() {
	if l.sock != nil {
		l.sock.stop()
		return
	}
	l.conn.Close()
}

// free gives back what stop must leave to a serve that still runs.
func (l *udpListener) free() {
	if l.sock != nil {
		l.sock.free()
	}
}

// serveSingly takes one query at a time, which works on every system.
func (l *udpListener) serveSingly(ctx context.Context, s *Server, w *responder) error {
	in := make([]byte, maxQuery)
	out := make([]byte, 0, maxMessage+maxRecordHead)
	var oob []byte
	if l.wildcard {
		oob = make([]byte, 128)
	}
	transport := &w.count.queries[udp4]
	if l.six {
		transport = &w.count.queries[udp6]
	}
	for failures := 0; ; {
		n, noob, _, src, err := l.conn.ReadMsgUDPAddrPort(in, oob)
		if err != nil {
			// An ICMP error for an earlier answer shows up here: go on, but not for ever.
			if failures++; ctx.Err() != nil || errors.Is(err, net.ErrClosed) || failures > 1000 {
				return err
			}
			continue
		}
		failures = 0
		transport.Add(1)
		client, query, ok := s.unwrap(in[:n], src)
		if !ok {
			continue
		}
		reply := s.answer(w, query, client, false, out)
		if len(reply) == 0 {
			switch {
			case w.waiting != nil:
				q := w.fill(query, client)
				l.origin(&q.origin, src, oob[:noob])
				s.proofs.waiting <- q
			case w.handed:
				w.handed = false
				o := new(origin)
				l.origin(o, src, oob[:noob])
				s.handOver(w, query, client, o.send)
			}
			continue
		}
		if _, _, err := l.conn.WriteMsgUDPAddrPort(reply, replyFrom(oob[:noob], l.six), src); err != nil {
			w.count.sendFail.Add(1)
		}
	}
}

// origin notes where the answer goes to a query that came with control messages.
func (l *udpListener) origin(o *origin, src netip.AddrPort, oob []byte) {
	o.conn, o.to = l.conn, src
	o.oobLen = copy(o.oob[:], replyFrom(oob, l.six))
}
