package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"
)

// UDP has no connections. What stands for one is a session: the datagrams
// between one client and one address of ours, which all go to the same server,
// over a socket that is the session's alone, so that answers find back. It
// begins with a client's first datagram and ends when there was none either way
// for the idle time-out, or with the last of Config.Responses answers.
//
// A server that may not take new connections loses its sessions with the client's
// next datagram, which goes to another server: there is nothing to finish, and a
// client that is left with a server that is gone waits in vain.

// sessionKey tells sessions apart.
type sessionKey struct {
	client netip.AddrPort
	local  netip.Addr // where the client sent to, on a listener for all addresses; else zero
}

// session is what both engines keep of one.
type session struct {
	connection
	key  sessionKey
	seen *table // in which its server was last found
	left int    // answers until it ends; below 0: any number
}

// openSession takes a place for a client's first datagram and picks the server, which is
// not one that was tried. A nil server: the datagram is to be dropped, and that is counted.
func (f *frontend) openSession(from flow, tried []*server) (*server, seat, *table) {
	seat, admitted := f.admit(from)
	if !admitted {
		return nil, seat, nil
	}
	if !f.gate.try(true, nil) {
		seat.leave()
		f.counters.queueFull.Add(1)
		f.counters.dropped.Add(1)
		return nil, seat, nil
	}
	t := f.pool.table.Load()
	s, _ := f.pool.take(from, tried)
	if s == nil && len(tried) > 0 {
		s, _ = f.pool.take(from, nil) // there is no other
	}
	if s == nil {
		f.gate.leave()
		seat.leave()
		f.counters.refused.Add(1)
		f.counters.dropped.Add(1)
	}
	return s, seat, t
}

// giveUpSession takes back what openSession took, when there is no socket to be had.
func (f *frontend) giveUpSession(s *server, seat seat) {
	f.counters.localErrors.Add(1)
	f.counters.dropped.Add(1)
	f.pool.release(s)
	seat.leave()
	f.gate.leave()
}

// begin makes it the session of that client with that server.
func (n *session) begin(f *frontend, key sessionKey, from flow, s *server, seat seat, t *table, e ender, now instant) bool {
	n.key, n.seen, n.left = key, t, -1
	if r := f.config().Responses; r > 0 {
		n.left = r
	}
	n.open(f, from, seat, e, now)
	f.counters.accepted.Add(1)
	s.total.Add(1)
	return n.serve(s, now)
}

// finish ends the session.
func (n *session) finish(now instant) {
	s, f := n.to, n.front
	n.end(now)
	f.pool.release(s)
	f.gate.leave()
}

// stays tells whether the session's server may go on having it.
func (n *session) stays() bool {
	t := n.front.pool.table.Load()
	if t == n.seen {
		return true
	}
	if !t.has(n.to) {
		return false
	}
	n.seen = t
	return true
}

// has tells whether new connections may go to s.
func (t *table) has(s *server) bool {
	is := func(c candidate) bool { return c.server == s }
	return slices.ContainsFunc(t.candidates, is) || slices.ContainsFunc(t.farther, is)
}

// heard takes in an answer of n octets. It tells whether it was the last.
func (n *session) heard(size int, now instant) (last bool) {
	if n.down.Load() == 0 {
		took := max(time.Microsecond, time.Duration(now-n.connection.asked.Load())) // 0 is a latency that nobody knows
		n.to.peak.observe(took, stamp(n.front.pool.now()))
		if n.to.streak.Load() != 0 {
			n.to.streak.Store(0)
		}
	}
	n.moved(false, size, now)
	if n.left > 0 {
		n.left--
	}
	return n.left == 0
}

// unreachable takes in that nobody is there at the server's port (ICMP).
func (n *session) unreachable(err error) {
	n.blame(endUnreachable)
	n.front.pool.failed(n.to, err)
}

// isUnreachable tells whether an error of a session's socket is the server's.
func isUnreachable(err error) bool {
	for _, theirs := range []error{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN} {
		if errors.Is(err, theirs) {
			return true
		}
	}
	return false
}

// knockTime is how long ICMP may take to say that nobody is there.
const knockTime = 500 * time.Millisecond

// knock sends an empty datagram, and fails if the server's host says that nobody
// is at the port. Silence says nothing: what a server makes of such a
// datagram nobody knows. A server that fails its clients again is out again, for longer.
func knock(ctx context.Context, address string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := conn.Write(nil); err != nil {
		return err
	}
	conn.SetReadDeadline(time.Now().Add(knockTime))
	if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// validateDatagrams finds what does not go with protocol "udp", or only with it.
func (c Config) validateDatagrams(bad func(key, msg string)) {
	if c.Responses < 0 {
		bad("responses", fmt.Sprintf("%d: must be 0 (any number) or more", c.Responses))
	}
	if c.Responses != 0 && (c.Protocol != UDP || c.inKernel()) {
		bad("responses", fmt.Sprintf("is for protocol %q in plane %q alone", UDP, PlaneProxy))
	}
	if c.Protocol != UDP {
		return
	}
	never := func(set bool, key, why string) {
		if set {
			bad(key, `does not go with protocol "udp": `+why)
		}
	}
	never(c.ConnectTimeout != 0, "connect_timeout", "there are no connects")
	never(c.CloseTimeout != 0, "close_timeout", "sessions are not closed by either end")
	never(c.Queue != 0, "queue", "what no server has room for is dropped")
	never(c.QueueTimeout != 0, "queue_timeout", "what no server has room for is dropped")
	never(c.OnIsolate == ResetIsolated, "on_isolate", "sessions always go to another server at once")
}
