package balancer

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A transparent frontend connects to servers from its client's address: the socket may
// have an address that is not this machine's (IP_TRANSPARENT in ip(7)), and answers come
// back here because this machine is the servers' way to clients, where a rule gives
// packets for such sockets to the local stack (docs/configuration.md).

// transparentOptions let a socket of a family have any address. The port is chosen with
// the connect, so that as many connections can be made as there are ports for each server.
func transparentOptions(four bool) [2]socketOption {
	if four {
		return [2]socketOption{{unix.SOL_IP, unix.IP_TRANSPARENT, 1}, {unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1}}
	}
	return [2]socketOption{{unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1}, {unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1}}
}

// mayBeTransparent tells whether this process may, and why not.
func mayBeTransparent() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1); err != nil {
		return fmt.Errorf("IP_TRANSPARENT: %w: it needs CAP_NET_ADMIN or CAP_NET_RAW", err)
	}
	return nil
}

// assume gives the socket the client's address, if that is of the server's family.
func (l *loop) assume(fd int32, client netip.Addr, four bool) error {
	if client.Is4() != four {
		return nil
	}
	for _, o := range transparentOptions(four) {
		if errno := setOption(fd, o.level, o.name, int32(o.value)); errno != 0 {
			return os.NewSyscallError("setsockopt", errno)
		}
	}
	var sa unix.Sockaddr = &unix.SockaddrInet6{Addr: client.As16(), ZoneId: scopeOf(client.Zone())}
	if four {
		sa = &unix.SockaddrInet4{Addr: client.As4()}
	}
	return os.NewSyscallError("bind", unix.Bind(int(fd), sa))
}

// transparent sets the options before net.Dialer binds.
func transparent(four bool, c syscall.RawConn) (err error) {
	raw := c.Control(func(fd uintptr) {
		for _, o := range transparentOptions(four) {
			if e := unix.SetsockoptInt(int(fd), o.level, o.name, o.value); e != nil && err == nil {
				err = os.NewSyscallError("setsockopt", e)
			}
		}
	})
	if raw != nil {
		return raw
	}
	return err
}
