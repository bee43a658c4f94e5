package balancer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// portableDatagrams is the engine for UDP that works everywhere: the standard
// library's sockets, and a goroutine for each session. Answers of a listener for
// all addresses leave from the address that the system chooses.
type portableDatagrams struct {
	log *slog.Logger
	wg  sync.WaitGroup // acceptors and sessions
}

func (p *portableDatagrams) start() {}

func (p *portableDatagrams) stop() { p.wg.Wait() }

// datagramSize is more than any datagram has.
const datagramSize = 64 << 10

// portableReceiver has one socket, or those that it took over.
type portableReceiver struct {
	engine *portableDatagrams
	conns  []*net.UDPConn
	front  *atomic.Pointer[frontend]

	mu       sync.Mutex
	sessions map[sessionKey]*portableSession // guarded by mu
	closed   bool                            // guarded by mu
}

// portableSession is a session with its own socket.
type portableSession struct {
	session
	of     *portableReceiver
	back   *net.UDPConn // where answers leave
	server *net.UDPConn
}

func (s *portableSession) abort() { s.server.Close() }

func (p *portableDatagrams) listen(at place, sockets []*os.File) (acceptor, error) {
	r := &portableReceiver{engine: p, sessions: map[sessionKey]*portableSession{}}
	if sockets == nil {
		var lc net.ListenConfig
		if at.freebind {
			lc.Control = freebindControl
		}
		c, err := lc.ListenPacket(context.Background(), "udp"+network(at.address)[len("tcp"):], at.address)
		if err != nil {
			return nil, err
		}
		r.conns = append(r.conns, c.(*net.UDPConn))
	}
	for _, s := range sockets {
		c, err := net.FilePacketConn(s)
		if err != nil {
			r.close()
			return nil, err
		}
		r.conns = append(r.conns, c.(*net.UDPConn))
	}
	return r, nil
}

func (r *portableReceiver) addr() net.Addr { return r.conns[0].LocalAddr() }

func (r *portableReceiver) sockets() ([]*os.File, error) {
	var all []*os.File
	for _, c := range r.conns {
		f, err := c.File()
		if err != nil {
			return all, err
		}
		all = append(all, f)
	}
	return all, nil
}

func (r *portableReceiver) start(front *atomic.Pointer[frontend]) {
	r.front = front
	for _, c := range r.conns {
		r.engine.wg.Go(func() { r.receive(c) })
	}
}

// close takes no more from clients, and ends the sessions once their servers have
// nothing more to say.
func (r *portableReceiver) close() {
	r.mu.Lock()
	r.closed = true
	left := len(r.sessions)
	for _, s := range r.sessions {
		s.server.SetReadDeadline(time.Now().Add(sessionsEnd))
	}
	r.mu.Unlock()
	if left > 0 {
		for _, c := range r.conns {
			c.SetReadDeadline(time.Now())
		}
		return // the last session closes
	}
	r.closeSockets()
}

func (r *portableReceiver) closeSockets() {
	for _, c := range r.conns {
		c.Close()
	}
}

// sessionsEnd is how long a server must have been silent for its sessions to end,
// once their listener is closed.
const sessionsEnd = 250 * time.Millisecond

// receive passes clients' datagrams on until the listener is closed.
func (r *portableReceiver) receive(c *net.UDPConn) {
	buffer := make([]byte, datagramSize)
	for {
		n, client, err := c.ReadFromUDPAddrPort(buffer)
		r.mu.Lock()
		closed := r.closed
		r.mu.Unlock()
		switch {
		case closed || errors.Is(err, net.ErrClosed):
			return
		case err != nil: // an ICMP error for an earlier answer, where the system tells of it
			time.Sleep(time.Millisecond)
			continue
		}
		client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
		s := r.find(c, client)
		if s == nil {
			continue
		}
		if _, err := s.server.Write(buffer[:n]); err != nil {
			r.front.Load().counters.dropped.Add(1)
			if isUnreachable(err) {
				s.unreachable(err)
				s.abort()
			}
			continue
		}
		s.moved(true, n, instantNow())
	}
}

// find returns the client's session, a new one if it has none.
func (r *portableReceiver) find(c *net.UDPConn, client netip.AddrPort) *portableSession {
	key := sessionKey{client: client}
	r.mu.Lock()
	s := r.sessions[key]
	r.mu.Unlock()
	if s != nil && s.stays() {
		return s
	}
	var tried []*server
	if s != nil {
		s.blame(endCut)
		s.abort()
		tried = append(tried, s.to)
	}
	f := r.front.Load()
	from := flow{client: client, local: addrPort(c.LocalAddr())}
	to, seat, t := f.openSession(from, tried)
	if to == nil {
		return nil
	}
	conn, err := net.Dial("udp", to.address)
	if err != nil {
		f.giveUpSession(to, seat)
		return nil
	}
	s = &portableSession{of: r, back: c, server: conn.(*net.UDPConn)}
	alive := s.begin(f, key, from, to, seat, t, s, instantNow())
	r.mu.Lock()
	closed := r.closed
	r.sessions[key] = s
	r.mu.Unlock()
	r.engine.wg.Go(s.answers)
	if !alive || closed {
		s.abort()
		return nil
	}
	return s
}

// answers passes a server's datagrams on until the session ends.
func (s *portableSession) answers() {
	defer s.over()
	buffer := make([]byte, datagramSize)
	idle := s.front.config().IdleTimeout
	for {
		s.of.mu.Lock()
		wait := idle - time.Duration(instantNow()-s.latest.Load())
		if s.of.closed {
			wait = sessionsEnd
		}
		s.server.SetReadDeadline(time.Now().Add(wait))
		s.of.mu.Unlock()
		n, err := s.server.Read(buffer)
		now := instantNow()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if s.of.isClosed() {
				s.blame(endServer)
				return
			}
			if time.Duration(now-s.latest.Load()) >= idle {
				s.blame(endIdle)
				return
			}
			continue
		case err != nil:
			if isUnreachable(err) {
				s.unreachable(err)
			}
			return
		}
		if _, err := s.back.WriteToUDPAddrPort(buffer[:n], s.key.client); err != nil {
			s.front.counters.dropped.Add(1)
			continue
		}
		if s.heard(n, now) {
			s.blame(endServer)
			return
		}
	}
}

func (r *portableReceiver) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// over ends the session, and the last one of a closed listener its sockets.
func (s *portableSession) over() {
	s.server.Close()
	r := s.of
	r.mu.Lock()
	if r.sessions[s.key] == s {
		delete(r.sessions, s.key)
	}
	last := r.closed && len(r.sessions) == 0
	r.mu.Unlock()
	s.finish(instantNow())
	if last {
		r.closeSockets()
	}
}
