package dnsserver

import (
	"context"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socketBuffer is the size of each UDP socket's buffers, in octets.
const socketBuffer = 4 << 20

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
	// Room for a burst of queries. What the system allows without the right to
	// force it (net.core.rmem_max) will do where that right is missing.
	for _, o := range []struct{ force, plain int }{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.force, socketBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.plain, socketBuffer)
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

func listenTCP(ctx context.Context, network, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // plain TCP: some socket options do not exist on MPTCP sockets
	return lc.Listen(ctx, network, addr)
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
