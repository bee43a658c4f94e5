package dnsserver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// streams are the connections that have a goroutine each: those of every
// net.Listener. On Linux plain TCP has event loops instead (loops.go).
type streams struct {
	made     atomic.Uint64 // buffers
	pool     sync.Pool     // of *streamBuffers
	counters [streamShards]counters
	links
}

// streamShards is how many sets of counters all streams share.
const streamShards = pickShards

// streamListener accepts DNS over a stream transport (RFC 7766).
type streamListener struct {
	name string // for the process that takes over
	ln   net.Listener
	six  bool
	tls  *tls.Config // nil: plain TCP
	web  *web        // nil: DNS messages with their lengths
}

// transport is what queries over the listener count as.
func (l *streamListener) transport() int {
	t := tcp4
	switch {
	case l.web != nil:
		t = https4
	case l.tls != nil:
		t = tls4
	}
	if l.six {
		t++
	}
	return t
}

// serve accepts until the listener fails or ctx ends.
func (l *streamListener) serve(ctx context.Context, s *Server, wg *sync.WaitGroup) error {
	var pause time.Duration
	for {
		c, err := l.ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of file descriptors, most likely: wait for some to come back.
			pause = nextPause(pause)
			s.log.Warn("cannot accept a TCP connection", "address", l.ln.Addr(), "error", err, "pause", pause)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
			continue
		}
		pause = 0
		st := s.stream(c, sourceOf(c), l.transport())
		st.front = s.fronted(st.src.Addr())
		if l.tls != nil {
			st.c, st.encrypted, st.web = tls.Server(&peeked{Conn: c}, l.tls), true, l.web != nil
		}
		if !s.tcp.take(st.src.Addr(), s.cfg.TCPMax, s.mostOf(st.src.Addr()), &s.streams) {
			c.Close()
			continue
		}
		wg.Go(func() {
			defer s.tcp.give(st.src.Addr())
			defer st.c.Close()
			if s.streams.add(&st.link) {
				defer s.streams.remove(&st.link)
				switch {
				case !st.begin(ctx):
				case l.web != nil:
					l.web.converse(ctx, st)
				default:
					st.converse(ctx)
				}
			}
		})
	}
}

// nextPause is how long to leave a listener alone that cannot accept, after the
// pause before.
func nextPause(pause time.Duration) time.Duration {
	return min(max(2*pause, 5*time.Millisecond), time.Second)
}

// sourceOf is where a connection comes from.
func sourceOf(c net.Conn) netip.AddrPort {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
