package balancer

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const canFreebind = true

// freebind lets a socket, of either family, be bound to an address that the machine does
// not have (ip(7), IP_FREEBIND; no privileges are needed).
func freebind(fd int, family int) error {
	level, name := unix.IPPROTO_IP, unix.IP_FREEBIND
	if family == unix.AF_INET6 {
		level, name = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, name, 1))
}

// freebindControl is freebind for a net.ListenConfig.
func freebindControl(network, _ string, c syscall.RawConn) error {
	family := unix.AF_INET6
	if network[len(network)-1] == '4' {
		family = unix.AF_INET
	}
	var err error
	if fault := c.Control(func(fd uintptr) { err = freebind(int(fd), family) }); fault != nil {
		return fault
	}
	return err
}
