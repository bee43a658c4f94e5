package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// listenUDP binds a UDP socket. With reuse, several sockets may share the
// address and the kernel spreads queries over them by the client's address.
func listenUDP(ctx context.Context, network, addr string, wildcard, reuse bool) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = udpOptions(int(fd), network == "udp6", wildcard, reuse) }); e != nil {
			return e
		}
		return err
	}}
	pc, err := lc.ListenPacket(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return pc.(*net.UDPConn), nil
}

func udpOptions(fd int, six, wildcard, reuse bool) error {
	if reuse {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return err
		}
	}
	// No path MTU discovery for answers: a forged ICMP message must not make
	// them fail; they are small enough to be fragmented never or rarely.
	if six {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT)
		if wildcard {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
		return nil
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
	if wildcard {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	return nil
}

// tuneUDP sets buffers, busy polling, and which CPU's packets come to the sockets
// that share its address. Its error tells what the system does not allow; what it
// does allow is set.
func tuneUDP(c *net.UDPConn, cfg Config, spread []int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var errs []error
	err = raw.Control(func(fd uintptr) {
		errs = append(errs,
			setBuffer(int(fd), "receive_buffer", "net.core.rmem_max", unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, cfg.ReceiveBuffer),
			setBuffer(int(fd), "send_buffer", "net.core.wmem_max", unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, cfg.SendBuffer))
		if cfg.BusyPoll > 0 {
			if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BUSY_POLL, int(cfg.BusyPoll.Microseconds())); err != nil {
				errs = append(errs, fmt.Errorf("busy_poll %v: %w", cfg.BusyPoll, err))
			}
		}
		if len(spread) > 0 {
			errs = append(errs, spreadByCPU(int(fd), spread))
		}
	})
	return errors.Join(append(errs, err)...)
}

// setBuffer sets the size of a buffer. Without the right to force it what the
// system allows will do, unless a size was asked for by configuration.
func setBuffer(fd int, key, bound string, force, plain, size int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) == nil {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size); err != nil {
		return fmt.Errorf("%s %d: %w", key, size, err)
	}
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, plain)
	if err == nil && got/2 < size && size != defaultBuffer { // the system doubles it for its own needs: socket(7)
		return fmt.Errorf("%s %d: the system gives %d (%s)", key, size, got/2, bound)
	}
	return nil
}

func listenTCP(ctx context.Context, network, addr string) (net.Listener, error) {
	lc := net.ListenConfig{
		KeepAlive: -1, // idle connections are closed long before it would matter
		Control: func(_, _ string, c syscall.RawConn) error {
			// Clients that have been here before may send their query with the first
			// segment (RFC 7413), where net.ipv4.tcp_fastopen allows it.
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, fastOpenQueue) })
		},
	}
	lc.SetMultipathTCP(false) // plain TCP: some socket options do not exist on MPTCP sockets
	return lc.Listen(ctx, network, addr)
}

// fastOpenQueue bounds connections that sent data and are not yet known to be real.
const fastOpenQueue = 256

// reader gives the function that reads once. On TCP itself the runtime's poller
// waits, and buffers are taken only when there is something to put into them.
func (st *stream) reader() func() error {
	tcp, ok := st.c.(*net.TCPConn)
	if !ok {
		return st.readAhead
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return func() error { return err }
	}
	try := func(fd uintptr) bool {
		for {
			st.got, st.err = unix.Read(int(fd), st.room())
			switch st.err {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				st.release()
				return false
			}
			return true
		}
	}
	return func() error {
		if err := raw.Read(try); err != nil {
			return err
		}
		if st.err == nil && st.got <= 0 {
			return io.EOF
		}
		if st.err == nil {
			st.b.to += st.got
		}
		return st.err
	}
}

// replyFrom turns the control message that came with a query into the one that
// makes the answer leave from the address that was asked (IP_PKTINFO, ip(7);
// IPV6_PKTINFO, RFC 3542, section 6.2). It works in place.
func replyFrom(oob []byte, six bool) []byte {
	if len(oob) < unix.SizeofCmsghdr {
		return nil
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	data := oob[unix.CmsgLen(0):]
	switch {
	case !six && h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		p := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
		p.Ifindex = 0 // the route decides the interface
		return oob[:unix.CmsgSpace(unix.SizeofInet4Pktinfo)]
	case six && h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		p := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
		if p.Addr[0] != 0xfe || p.Addr[1]&0xc0 != 0x80 { // link-local addresses need their interface
			p.Ifindex = 0
		}
		return oob[:unix.CmsgSpace(unix.SizeofInet6Pktinfo)]
	}
	return nil
}
