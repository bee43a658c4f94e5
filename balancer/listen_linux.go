package balancer

import (
	"math"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"gslb/handover"
)

// listenerSockets are the listening sockets of one address.
type listenerSockets interface {
	socket(i int) (fd int, err error)
}

// copiedSockets are those of another acceptor.
type copiedSockets []*os.File

func (c copiedSockets) socket(i int) (int, error) {
	fd, err := handover.Duplicate(c[i%len(c)])
	if err == nil {
		err = tune(fd)
		unix.SetNonblock(fd, true)
	}
	return fd, err
}

func duplicate(fd int) (int, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	return n, os.NewSyscallError("fcntl", err)
}

// newSockets makes them: several at one address by SO_REUSEPORT, among which the
// system spreads connections. The first says so only when it has the address:
// else two processes could listen there and not know it.
type newSockets struct {
	address string
	shared  bool
	free    bool           // the machine need not have the address
	bound   netip.AddrPort // of the first
	dual    bool           // both families
}

func (n *newSockets) socket(i int) (fd int, err error) {
	if i == 0 {
		host, port, err := net.SplitHostPort(n.address)
		if err != nil {
			return -1, err
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return -1, err
		}
		addr := netip.IPv6Unspecified()
		if host != "" {
			if addr, err = netip.ParseAddr(host); err != nil {
				return -1, err
			}
		}
		n.bound, n.dual = netip.AddrPortFrom(addr, uint16(number)), host == ""
		fd, err := n.open(false)
		if err != nil && n.dual && ipv6IsOff(err) {
			n.bound, n.dual = netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(number)), false
			fd, err = n.open(false)
		}
		if err == nil {
			n.bound = netip.AddrPortFrom(n.bound.Addr(), localAddress(int32(fd)).Port())
		}
		return fd, err
	}
	return n.open(true)
}

func ipv6IsOff(err error) bool {
	e, ok := err.(*os.SyscallError)
	return ok && (e.Err == unix.EAFNOSUPPORT || e.Err == unix.EADDRNOTAVAIL)
}

func (n *newSockets) open(again bool) (fd int, err error) {
	var raw unix.RawSockaddrInet6
	_, family := putAddress(&raw, n.bound)
	// Plain TCP: multipath TCP sockets cannot be handed to a kernel data plane, and break TCP-MD5.
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	set := func(level, name, value int) {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, name, value))
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	var sa unix.Sockaddr
	if family == unix.AF_INET6 {
		only := 1
		if n.dual {
			only = 0
		}
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
		sa = &unix.SockaddrInet6{Port: int(n.bound.Port()), Addr: raw.Addr, ZoneId: raw.Scope_id}
	} else {
		sa = &unix.SockaddrInet4{Port: int(n.bound.Port()), Addr: n.bound.Addr().Unmap().As4()}
	}
	if n.free && err == nil {
		err = freebind(fd, family)
	}
	if again {
		set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, sa))
	}
	if n.shared && !again {
		set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if err == nil {
		err = tune(fd)
	}
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, math.MaxInt32)) // as many as net.core.somaxconn allows
	}
	return fd, err
}

// tune sets what connections inherit from their listener, whichever frontend it is of.
func tune(fd int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
}
