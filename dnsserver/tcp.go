package dnsserver

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
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
	open      atomic.Int64
	refused   atomic.Uint64
	made      atomic.Uint64 // buffers
	counters  [tcpShards]counters
	mu        sync.Mutex
	perClient map[netip.Addr]int // guarded by mu
}

// take counts a connection in, unless there are too many.
func (t *tcpLimits) take(a netip.Addr, maxAll, maxClient int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open.Load() >= int64(maxAll) || t.perClient[a] >= maxClient {
		t.refused.Add(1)
		return false
	}
	t.open.Add(1)
	t.perClient[a]++
	return true
}

func (t *tcpLimits) give(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open.Add(-1)
	if t.perClient[a]--; t.perClient[a] == 0 {
		delete(t.perClient, a)
	}
}

// tcpBuffers is what serving a connection needs; used again by the next one.
type tcpBuffers struct {
	w  *responder
	r  *bufio.Reader
	wr *bufio.Writer
	in []byte
	// out has room for the largest answer.
	out []byte
}

// tcpShards is how many sets of counters all TCP connections share.
const tcpShards = pickShards

func (s *Server) tcpBuffers() *tcpBuffers {
	if b, ok := s.pool.Get().(*tcpBuffers); ok {
		return b
	}
	shard := int(s.tcp.made.Add(1) % tcpShards)
	return &tcpBuffers{
		w: s.responder(shard, &s.tcp.counters[shard]), r: bufio.NewReaderSize(nil, 4096), wr: bufio.NewWriterSize(nil, 16384),
		in: make([]byte, 0, 1024), out: make([]byte, 0, maxMessage+maxRecordHead),
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
		src := c.RemoteAddr().(*net.TCPAddr).AddrPort()
		if !s.tcp.take(src.Addr(), s.cfg.TCPMax, s.cfg.TCPMaxClient) {
			c.Close()
			continue
		}
		wg.Go(func() {
			defer s.tcp.give(src.Addr())
			defer c.Close()
			stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })
			defer stop()
			s.converse(ctx, c, src, l.six)
		})
	}
}

// converse answers the queries of one connection in the order they come. It
// sends what it has before it waits for more (RFC 7766, section 6.2.1.1).
func (s *Server) converse(ctx context.Context, c net.Conn, src netip.AddrPort, six bool) {
	b := s.tcpBuffers()
	defer s.pool.Put(b)
	b.r.Reset(c)
	b.wr.Reset(c)
	defer func() {
		c.SetWriteDeadline(time.Now().Add(lastWrite)) // the one that is set may be over
		b.wr.Flush()
	}()
	transport := &b.w.count.queries[tcp4]
	if six {
		transport = &b.w.count.queries[tcp6]
	}
	for {
		c.SetDeadline(time.Now().Add(s.cfg.TCPIdle))
		if ctx.Err() != nil { // after setting the deadline: the end sets one too
			return
		}
		msg, err := b.read()
		if err != nil {
			return
		}
		transport.Add(1)
		reply := s.answer(b.w, msg, src, true, b.out)
		if len(reply) == 0 {
			return // not DNS: there is no point in going on
		}
		var head [2]byte
		binary.BigEndian.PutUint16(head[:], uint16(len(reply)))
		b.wr.Write(head[:])
		b.wr.Write(reply)
		if !b.more() && b.wr.Flush() != nil {
			return
		}
	}
}

// lastWrite bounds how long the answers of a connection that ends may take.
const lastWrite = time.Second

// more tells whether the next message is there already, whole.
func (b *tcpBuffers) more() bool {
	n := b.r.Buffered()
	if n < 2 {
		return false
	}
	head, err := b.r.Peek(2)
	return err == nil && n >= 2+int(binary.BigEndian.Uint16(head))
}

// read gives the next message, with its length before it (RFC 1035, section 4.2.2).
func (b *tcpBuffers) read() ([]byte, error) {
	head, err := b.r.Peek(2)
	if err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head))
	b.r.Discard(2)
	if cap(b.in) < n {
		b.in = make([]byte, n)
	}
	b.in = b.in[:n]
	_, err = io.ReadFull(b.r, b.in)
	return b.in, err
}
