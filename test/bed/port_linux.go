package bed

import (
	"fmt"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// claim tells whether the port is this process's among all test programs, from now on
// until it ends: a socket with the port in its name, of which there is one in a
// network namespace (unix(7), abstract addresses), stands for it.
func claim(port int) bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@gslb-test-port-%d", port)}); err != nil {
		unix.Close(fd)
		return false
	}
	return true // and stays open
}

// Reserve gives an address of loopback that stays the test's, for "tcp" or "udp": who
// listens there may go and come back, and nobody else gets the port meanwhile, nor has a
// connection from it. Without a listener there it refuses. Who listens there sets SO_REUSEADDR
// before, as net.Listen does and net.ListenPacket does not (ReuseAddress).
func Reserve(t testing.TB, network string) string {
	t.Helper()
	kind := map[string]int{"tcp": unix.SOCK_STREAM, "udp": unix.SOCK_DGRAM}[network]
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	loopback := [4]byte{127, 0, 0, 1}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback})
	}
	if err == nil && network == "udp" { // a socket that is connected elsewhere gets no datagrams of others
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: loopback, Port: 9})
	}
	if err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*unix.SockaddrInet4).Port)
}

// ReuseAddress is a net.ListenConfig.Control for who listens, over UDP, at a reserved address.
func ReuseAddress(_, _ string, raw syscall.RawConn) (err error) {
	if fault := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }); fault != nil {
		return fault
	}
	return err
}
