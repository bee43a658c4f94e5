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

	mu     sync.Mutex // guards what follows
	all    map[*stream]struct{}
	ending bool
}

// streamShards is how many sets of counters all streams share.
const streamShards = pickShards

// streamListener accepts DNS over a stream transport (RFC 7766).
type streamListener struct {
	ln  net.Listener
	six bool
	tls *tls.Config // nil: plain TCP
}

// transport is what queries over the listener count as.
func (l *streamListener) transport() int {
	t := tcp4
	if l.tls != nil {
		t = tls4
	}
	if l.six {
		t++
	}
	return t
}

// evictFrom is how many connections are looked at for the one to close: the
// longest idle of so many is among the longest idle of all.
const evictFrom = 32

// evict is part of evictor: it ends a stream that has been idle for long.
func (t *streams) evict() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	var victim *stream
	var since int64
	looked := 0
	for st := range t.all { // begins anywhere
		if at := st.idle.Load(); at > 0 && (victim == nil || at < since) {
			victim, since = st, at
		}
		if looked++; looked == evictFrom {
			break
		}
	}
	if victim == nil || !victim.idle.CompareAndSwap(since, evicted) {
		return false
	}
	victim.c.SetReadDeadline(time.Unix(1, 0))
	return true
}

// add takes a stream in, unless the end has come.
func (t *streams) add(st *stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending {
		return false
	}
	t.all[st] = struct{}{}
	return true
}

func (t *streams) remove(st *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, st)
}

// waiting counts the streams that wait for their clients.
func (t *streams) waiting() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for st := range t.all {
		if st.idle.Load() > 0 {
			n++
		}
	}
	return n
}

// end makes all streams end, and takes no more.
func (t *streams) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ending = true
	for st := range t.all {
		st.c.SetDeadline(time.Unix(1, 0))
	}
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
		st := &stream{s: s, c: c, src: sourceOf(c), transport: l.transport()}
		st.front = s.fronted(st.src.Addr())
		if l.tls != nil {
			st.c, st.encrypted = tls.Server(&peeked{Conn: c}, l.tls), true
		}
		if !s.tcp.take(st.src.Addr(), s.cfg.TCPMax, s.mostOf(st.src.Addr()), &s.streams) {
			c.Close()
			continue
		}
		wg.Go(func() {
			defer s.tcp.give(st.src.Addr())
			defer st.c.Close()
			if s.streams.add(st) {
				defer s.streams.remove(st)
				if st.begin(ctx) {
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
