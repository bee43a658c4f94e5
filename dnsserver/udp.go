package dnsserver

import (
	"bytes"
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
			if w.handed {
				w.handed = false
				from := bytes.Clone(replyFrom(oob[:noob], l.six))
				s.handOver(w, query, client, func(msg []byte) error {
					_, _, err := l.conn.WriteMsgUDPAddrPort(msg, from, src)
					return err
				})
			}
			continue
		}
		if _, _, err := l.conn.WriteMsgUDPAddrPort(reply, replyFrom(oob[:noob], l.six), src); err != nil {
			w.count.sendFail.Add(1)
		}
	}
}
