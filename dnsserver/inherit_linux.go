package dnsserver

import (
	"os"

	"golang.org/x/sys/unix"

	"gslb/handover"
)

// file is a copy of the socket.
func (l *udpListener) file() (*os.File, error) {
	if l.sock == nil {
		return l.conn.File()
	}
	return copyOf(l.sock.fd)
}

func copyOf(fd int) (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "dns"), nil
}

// files adds copies of the loop's listening sockets.
func (l *tcpLoop) files(to *handover.Sockets) error {
	for _, ln := range l.listeners {
		f, err := copyOf(ln.fd)
		if err != nil {
			return err
		}
		to.Add(ln.name, f)
	}
	return nil
}

// inheritListener makes a listening socket of another process ours; f stays open.
func inheritListener(f *os.File) (int, error) {
	fd, err := handover.Duplicate(f)
	if err != nil {
		return -1, err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // another engine may have made it
		unix.Close(fd)
		return -1, os.NewSyscallError("fcntl", err)
	}
	tuneTCP(fd)
	return fd, nil
}
