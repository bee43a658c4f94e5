package main

import (
	"errors"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// datagrams is one batch of recvmmsg(2) and sendmmsg(2).
type datagrams struct {
	headers [udpBatch]mmsghdr
	vectors [udpBatch]unix.Iovec
	names   [udpBatch]unix.RawSockaddrInet6 // the larger of the two
	data    [udpBatch][datagramSize]byte
}

type mmsghdr struct {
	header unix.Msghdr
	size   uint32
}

const (
	udpBatch  = 32
	udpFlight = 8 // datagrams that each client keeps going
)

var batch = newBatch()

func newBatch() *datagrams {
	b := new(datagrams)
	for i := range udpBatch {
		b.vectors[i].Base = &b.data[i][0]
		b.headers[i].header.Iov = &b.vectors[i]
		b.headers[i].header.Iovlen = 1
	}
	return b
}

// take receives a batch; named has it keep where each came from.
func (b *datagrams) take(fd int, named bool) (int, error) {
	for i := range udpBatch {
		h := &b.headers[i].header
		h.Name, h.Namelen = nil, 0
		if named {
			h.Name, h.Namelen = (*byte)(unsafe.Pointer(&b.names[i])), unix.SizeofSockaddrInet6
		}
		b.vectors[i].SetLen(datagramSize)
	}
	return b.call(unix.SYS_RECVMMSG, fd, udpBatch)
}

// give sends the first n, as they are: back to where each came from, or, of a
// client, to what its socket is connected to.
func (b *datagrams) give(fd, n int, back bool) (int, error) {
	for i := range n {
		b.vectors[i].SetLen(datagramSize)
		if !back {
			b.headers[i].header.Name, b.headers[i].header.Namelen = nil, 0
		}
	}
	return b.call(unix.SYS_SENDMMSG, fd, n)
}

func (b *datagrams) call(number uintptr, fd, n int) (int, error) {
	for {
		got, _, e := unix.Syscall6(number, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			return int(got), nil
		case unix.EINTR:
		case unix.EAGAIN, unix.ECONNREFUSED:
			return 0, nil
		default:
			return 0, e
		}
	}
}

// beginUDP opens the clients, and has each keep some datagrams going.
func (l *loop) beginUDP() error {
	for range l.options.conns {
		fd, err := unix.Socket(l.family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		roomForDatagrams(fd)
		if err := unix.Connect(fd, l.target); err != nil {
			_ = unix.Close(fd)
			return os.NewSyscallError("connect", err)
		}
		if err := l.add(fd, conn{role: udpClient, due: l.now()}, unix.EPOLLIN); err != nil {
			return err
		}
		if _, err := batch.give(fd, udpFlight, false); err != nil && !errors.Is(err, unix.EAGAIN) {
			return os.NewSyscallError("sendmmsg", err)
		}
	}
	return nil
}

// echo sends back what came to a server.
func (l *loop) echo(fd, at int) error {
	for {
		n, err := batch.take(fd, true)
		if err != nil {
			return os.NewSyscallError("recvmmsg", err)
		}
		if n == 0 {
			return nil
		}
		l.served[at] += uint64(n)
		if _, err := batch.give(fd, n, true); err != nil {
			return os.NewSyscallError("sendmmsg", err)
		}
	}
}

// exchange counts the answers of a client, and asks as often again.
func (l *loop) exchange(fd int) error {
	for {
		n, err := batch.take(fd, false)
		if err != nil {
			return os.NewSyscallError("recvmmsg", err)
		}
		if n == 0 {
			return nil
		}
		if l.counting {
			l.done += uint64(n)
			l.octets += uint64(n * datagramSize)
		}
		l.conns[fd].due = l.now()
		if _, err := batch.give(fd, n, false); err != nil {
			return os.NewSyscallError("sendmmsg", err)
		}
	}
}

// silence is how long a client waits for an answer before it takes what it sent for lost.
const silence = int64(50 * time.Millisecond)

// refill has clients send again whose datagrams were lost.
func (l *loop) refill() {
	now := l.now()
	if now-l.refilled < silence {
		return
	}
	l.refilled = now
	for fd := range l.conns {
		if c := &l.conns[fd]; c.role == udpClient && now-c.due > silence {
			c.due = now
			l.failed["no answer"] += udpFlight
			_, _ = batch.give(fd, udpFlight, false) // an error will be there again with the next datagram
		}
	}
}
