package dnsserver

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// handOver gives a connection to a goroutine of its own, since something came
// over it that is not a plain query: b begins with it. It stays counted.
func (l *tcpLoop) handOver(c *loopConn, b []byte) {
	l.w.handed = false
	l.w.publish()
	unsent, pending := bytes.Clone(l.out[:l.end]), bytes.Clone(b)
	l.end = 0
	if c.registered { // the descriptor leaves, what it stands for does not
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, int(c.fd), nil)
	}
	st := l.s.stream(nil, c.src, tcp4)
	if c.ln.six {
		st.transport = tcp6
	}
	f := os.NewFile(uintptr(c.fd), "tcp")
	l.forget(c)
	l.others.Go(func() {
		defer l.s.tcp.give(st.src.Addr())
		if err := st.adopt(l.ctx, f, unsent, pending); err != nil {
			l.s.log.Warn("cannot go on with a TCP connection", "from", st.src, "error", err)
		}
	})
}

// adopt goes on with a connection that was an event loop's, until its end.
func (st *stream) adopt(ctx context.Context, f *os.File, unsent, pending []byte) error {
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return err
	}
	defer c.Close()
	st.c = c
	if !st.s.streams.add(&st.link) {
		return nil
	}
	defer st.s.streams.remove(&st.link)
	if len(unsent) > 0 {
		c.SetWriteDeadline(time.Now().Add(st.s.cfg.TCPIdle))
		if ctx.Err() != nil { // after setting the deadline: the end sets one too
			return nil
		}
		if _, err := c.Write(unsent); err != nil {
			return nil // the client is gone, or does not take them
		}
	}
	st.slowWith(pending).converse(ctx)
	return nil
}

// handFront gives the connection of a front end to a goroutine of its own. Front
// ends keep few connections, for many queries each.
func (l *tcpLoop) handFront(ln *loopListener, fd int32, src netip.AddrPort) {
	st := l.s.stream(nil, src, tcp4)
	st.front = true
	if ln.six {
		st.transport = tcp6
	}
	f := os.NewFile(uintptr(fd), "tcp")
	ctx := l.ctx
	l.others.Go(func() {
		defer l.s.tcp.give(src.Addr())
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			l.s.log.Warn("cannot serve a TCP connection", "from", src, "error", err)
			return
		}
		defer c.Close()
		st.c = c
		if !l.s.streams.add(&st.link) {
			return
		}
		defer l.s.streams.remove(&st.link)
		if st.begin(ctx) {
			st.converse(ctx)
		}
	})
}
