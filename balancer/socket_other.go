//go:build !linux

package balancer

import (
	"net"
	"os"
	"syscall"
)

// keepAlive turns keep-alive probes on with the system's own intervals.
func keepAlive(_ *Config, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
	})
}

// unsent is not known here: a reset does not wait for the bytes before it.
func unsent(*net.TCPConn) int { return 0 }

// acknowledged is not known here: only bytes that move hold off the idle time-out.
func acknowledged(*net.TCPConn) uint64 { return 0 }

// fastOpen is not to be had here.
func fastOpen(*os.File, bool) {}

// deferAccept is not to be had here.
func deferAccept(*os.File, bool) {}
