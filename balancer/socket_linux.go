package balancer

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socketOption is one of setsockopt(2).
type socketOption struct{ level, name, value int }

// keepAlives finds a peer that is gone without a word, by default within 30 s + 4 x
// 15 s. Set on a listener, its connections inherit it, which saves four system calls
// for each.
func (c *Config) keepAlives() [4]socketOption {
	return [...]socketOption{
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(c.KeepaliveIdle / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(c.KeepaliveInterval / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, c.KeepaliveCount},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	}
}

// keepAlive sets them on a socket that is being made.
func keepAlive(cfg *Config, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		for _, o := range cfg.keepAlives() {
			failed = errors.Join(failed, unix.SetsockoptInt(int(fd), o.level, o.name, o.value))
		}
	})
	return errors.Join(err, failed)
}

// unsent returns how many bytes written to conn its peer has not acknowledged.
func unsent(conn *net.TCPConn) (n int) {
	onSocket(conn, func(fd int) { n = unsentFD(int32(fd)) })
	return n
}

// acknowledged returns how many bytes of conn its peer has acknowledged so far.
func acknowledged(conn *net.TCPConn) (n uint64) {
	onSocket(conn, func(fd int) { n = acknowledgedFD(int32(fd)) })
	return n
}

func onSocket(conn *net.TCPConn, do func(fd int)) {
	if raw, err := conn.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { do(int(fd)) })
	}
}

// deferMost is how long, in seconds, the kernel waits for a client's first byte.
const deferMost = 10

// deferAccept has the kernel hand over the connections of a listening socket only
// with a client's first byte (TCP_DEFER_ACCEPT in tcp(7)), or at once again.
func deferAccept(socket *os.File, on bool) {
	seconds := 0
	if on {
		seconds = deferMost
	}
	if raw, err := socket.SyscallConn(); err == nil { // Fd would make the listener block
		raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, seconds) })
	}
}

// fastOpenMost is how many connections may wait that began with data in their SYN.
const fastOpenMost = 256

// fastOpen has a listening socket take data with a client's SYN (RFC 7413), or no more.
// The kernel does it where net.ipv4.tcp_fastopen allows it.
func fastOpen(socket *os.File, on bool) {
	most := 0
	if on {
		most = fastOpenMost
	}
	if raw, err := socket.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, most) })
	}
}
