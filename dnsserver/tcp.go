package dnsserver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// tcpListener accepts DNS over TCP (RFC 7766).
type tcpListener struct {
	ln  net.Listener
	six bool
}

// tcpLimits bounds connections, so that a few clients cannot take them all.
type tcpLimits struct {
	open     atomic.Int64
	refused  atomic.Uint64
	evicted  atomic.Uint64
	made     atomic.Uint64 // buffers
	counters [tcpShards]counters

	mu        sync.Mutex // guards what follows
	perClient map[netip.Addr]int
	streams   map[*stream]struct{}
	ending    bool
}

// evictFrom is how many connections are looked at for the one to close: the
// longest idle of so many is among the longest idle of all.
const evictFrom = 32

// take counts a connection in, unless there are too many. When there are too
// many in all, one that waits for its client is closed instead (RFC 7766,
// section 6.2.3: idle connections may be closed at any time).
func (t *tcpLimits) take(st *stream, maxAll, maxClient int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := st.src.Addr()
	if t.ending || t.perClient[a] >= maxClient || t.open.Load() >= int64(maxAll) && !t.evict() {
		t.refused.Add(1)
		return false
	}
	t.open.Add(1)
	t.perClient[a]++
	t.streams[st] = struct{}{}
	return true
}

// evict ends a connection that has been idle for long, if any is idle.
func (t *tcpLimits) evict() bool {
	var victim *stream
	var since int64
	looked := 0
	for st := range t.streams { // begins anywhere
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
	t.evicted.Add(1)
	return true
}

func (t *tcpLimits) give(st *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := st.src.Addr()
	t.open.Add(-1)
	delete(t.streams, st)
	if t.perClient[a]--; t.perClient[a] == 0 {
		delete(t.perClient, a)
	}
}

// end makes all connections end, and takes no more.
func (t *tcpLimits) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ending = true
	for st := range t.streams {
		st.c.SetDeadline(time.Unix(1, 0))
	}
}

// serve accepts until the listener fails or ctx ends.
func (l *tcpListener) serve(ctx context.Context, s *Server, wg *sync.WaitGroup) error {
	var pause time.Duration
	for {
		c, err := l.ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of file descriptors, most likely: wait for some to come back.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Warn("cannot accept a TCP connection", "address", l.ln.Addr(), "error", err, "pause", pause)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
			continue
		}
		pause = 0
		st := &stream{s: s, c: c.(*net.TCPConn), src: c.RemoteAddr().(*net.TCPAddr).AddrPort(), six: l.six}
		if !s.tcp.take(st, s.cfg.TCPMax, s.cfg.TCPMaxClient) {
			c.Close()
			continue
		}
		wg.Go(func() {
			defer s.tcp.give(st)
			defer st.c.Close()
			st.converse(ctx)
		})
	}
}
