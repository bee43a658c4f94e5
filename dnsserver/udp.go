package dnsserver

import (
	"context"
	"errors"
	"net"
)

// udpListener is one UDP socket; several share an address (SO_REUSEPORT), one
// for each serving goroutine.
type udpListener struct {
	conn     *net.UDPConn
	six      bool
	wildcard bool // answers must leave from the address that was asked
}

// maxQuery is the largest UDP query that is read. Few are near it, but padding
// and options of clients to come may make them long.
const maxQuery = maxMessage

// serve answers until the socket fails or ctx ends.
func (l *udpListener) serve(ctx context.Context, s *Server, w *responder) error {
	if n := s.cfg.Batch; canBatch && n > 1 {
		return l.serveBatch(ctx, s, w, n)
	}
	return l.serveSingly(ctx, s, w)
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
		reply := s.answer(w, in[:n], src, false, out)
		if len(reply) == 0 {
			continue
		}
		if _, _, err := l.conn.WriteMsgUDPAddrPort(reply, replyFrom(oob[:noob], l.six), src); err != nil {
			w.count.sendFail.Add(1)
		}
	}
}
