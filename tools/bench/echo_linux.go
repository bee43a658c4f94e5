package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
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

func echoDatagrams(address string) error {
	c, err := net.ListenPacket("udp4", address)
	if err != nil {
		return err
	}
	defer c.Close()
	udp := c.(*net.UDPConn)
	_ = udp.SetReadBuffer(4 << 20) // less is no fault
	_ = udp.SetWriteBuffer(4 << 20)
	raw, err := udp.SyscallConn()
	if err != nil {
		return err
	}
	e := new(echoBuffers)
	for i := range echoBatch {
		e.vectors[i].Base = &e.data[i][0]
		h := &e.headers[i].header
		h.Iov, h.Name = &e.vectors[i], (*byte)(unsafe.Pointer(&e.from[i]))
		h.SetIovlen(1)
	}
	e.reset(echoBatch)
	var failure error
	// The runtime's poller waits; a wake-up serves until the socket is empty.
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, errno := mmsg(unix.SYS_RECVMMSG, fd, &e.headers[0], echoBatch)
			if errno == unix.EAGAIN {
				return false
			}
			if errno != 0 {
				failure = fmt.Errorf("recvmmsg: %w", errno)
				return true
			}
			e.answer(fd, n)
			e.reset(n)
		}
	})
	if err == nil {
		err = failure
	}
	return err
}

// answer sends the first n datagrams back. What the socket does not take is lost.
func (e *echoBuffers) answer(fd uintptr, n int) {
	for i := range n {
		e.data[i][2] |= flagQR
		e.vectors[i].SetLen(int(e.headers[i].size))
	}
	for sent := 0; sent < n; {
		done, errno := mmsg(unix.SYS_SENDMMSG, fd, &e.headers[sent], n-sent)
		if errno != 0 {
			return
		}
		sent += done
	}
}

// mmsg never waits, and so leaves the runtime out of it: to the scheduler a batch
// of sends is long enough to hand the core to another thread.
func mmsg(trap, fd uintptr, first *mmsghdr, count int) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(first)), uintptr(count), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
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
