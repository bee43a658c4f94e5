package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// serveEcho sends every query back with its response bit set, over UDP and TCP,
// until it fails or is killed: what a server that does nothing costs.
func serveEcho(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer listener.Close()
	failed := make(chan error, 2)
	go func() { failed <- echoStreams(listener) }() // ends with the process
	go func() { failed <- echoDatagrams(address) }()
	return <-failed
}

const (
	echoBatch = 64   // datagrams of one system call, as in loadgen
	echoSize  = 1232 // octets of a query at most
	flagQR    = 0x80 // response, in octet 2 of the header (RFC 1035 section 4.1.1)
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	size   uint32
}

// echoBuffers are a batch of datagrams with where they came from.
type echoBuffers struct {
	headers [echoBatch]mmsghdr
	vectors [echoBatch]unix.Iovec
	from    [echoBatch]unix.RawSockaddrInet4
	data    [echoBatch][echoSize]byte
}

// reset makes room in all headers again; recvmmsg wrote the lengths.
func (e *echoBuffers) reset(n int) {
	for i := range n {
		e.vectors[i].SetLen(echoSize)
		e.headers[i].header.Namelen = unix.SizeofSockaddrInet4
	}
}

// echoDatagrams waits in recvmmsg(2) itself, as gslb does: RawSyscall keeps the
// runtime's scheduler out of it. The time-out lets a signal of the runtime, that
// wants to stop the goroutine, interrupt it (signal(7)), and there is a P
// more for the streams.
func echoDatagrams(address string) error {
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	for _, o := range []struct{ force, plain int }{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.force, 4<<20) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.plain, 4<<20) // less is no fault
		}
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 4000}); err != nil {
		return os.NewSyscallError("SO_RCVTIMEO", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	e := new(echoBuffers)
	for i := range echoBatch {
		e.vectors[i].Base = &e.data[i][0]
		h := &e.headers[i].header
		h.Iov, h.Name = &e.vectors[i], (*byte)(unsafe.Pointer(&e.from[i]))
		h.SetIovlen(1)
	}
	e.reset(echoBatch)
	for {
		n, errno := mmsg(unix.SYS_RECVMMSG, uintptr(fd), &e.headers[0], echoBatch, unix.MSG_WAITFORONE)
		switch errno {
		case 0:
			e.answer(uintptr(fd), n)
			e.reset(n)
		case unix.EAGAIN, unix.EINTR:
		default:
			return fmt.Errorf("recvmmsg: %w", errno)
		}
	}
}

// answer sends the first n datagrams back. What the socket does not take is lost.
func (e *echoBuffers) answer(fd uintptr, n int) {
	for i := range n {
		e.data[i][2] |= flagQR
		e.vectors[i].SetLen(int(e.headers[i].size))
	}
	for sent := 0; sent < n; {
		done, errno := mmsg(unix.SYS_SENDMMSG, fd, &e.headers[sent], n-sent, unix.MSG_DONTWAIT)
		if errno != 0 && errno != unix.EINTR {
			return
		}
		sent += done
	}
}

// mmsg calls recvmmsg(2) or sendmmsg(2) and leaves the runtime out of it: to the
// scheduler a batch of sends is long enough to hand the core to another thread.
func mmsg(trap, fd uintptr, first *mmsghdr, count int, flags uintptr) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(first)), uintptr(count), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func echoStreams(listener net.Listener) error {
	for {
		c, err := listener.Accept()
		if err != nil {
			return err
		}
		go echoStream(c) // ends with the connection
	}
}

// echoStream answers all whole messages of a read with one write.
func echoStream(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 64<<10+2)
	end := 0
	for {
		n, err := c.Read(buf[end:])
		end += n
		whole := 0
		for end-whole >= 2+12 {
			next := whole + 2 + int(binary.BigEndian.Uint16(buf[whole:]))
			if next > end {
				break
			}
			buf[whole+2+2] |= flagQR
			whole = next
		}
		if whole > 0 {
			if _, err := c.Write(buf[:whole]); err != nil {
				return
			}
			end = copy(buf, buf[whole:end])
		}
		if err != nil && err != io.EOF || n == 0 {
			return
		}
	}
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}
