package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// udpConn is a connected UDP socket that moves up to batch messages with one
// sendmmsg(2) or recvmmsg(2). The runtime's poller waits for it.
type udpConn struct {
	*net.UDPConn
	raw syscall.RawConn

	sendHeaders, receiveHeaders [batch]mmsghdr
	sendVectors, receiveVectors [batch]unix.Iovec
	receiveBuffers              [batch][maxDatagram]byte

	// What the functions below work on and give back: as fields, so that
	// neither a closure nor its results are allocated for each call.
	sendFunc, receiveFunc func(fd uintptr) bool
	count                 int // messages to send
	done                  int // messages sent or received
	errno                 syscall.Errno
}

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	size   uint32 // octets sent or received
}

func newUDP(c *net.UDPConn) (conn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	u := &udpConn{UDPConn: c, raw: raw}
	for i := range u.receiveBuffers {
		u.receiveVectors[i].Base = &u.receiveBuffers[i][0]
		u.receiveVectors[i].SetLen(maxDatagram)
		u.receiveHeaders[i].header.Iov = &u.receiveVectors[i]
		u.receiveHeaders[i].header.SetIovlen(1)
		u.sendHeaders[i].header.Iov = &u.sendVectors[i]
		u.sendHeaders[i].header.SetIovlen(1)
	}
	u.sendFunc, u.receiveFunc = u.sendBatch, u.receiveBatch
	return u, nil
}

func (u *udpConn) Send(msgs [][]byte) (int, error) {
	sent := 0
	for sent < len(msgs) {
		u.count = min(len(msgs)-sent, batch)
		for i, m := range msgs[sent : sent+u.count] {
			u.sendVectors[i].Base = &m[0]
			u.sendVectors[i].SetLen(len(m))
		}
		if err := u.raw.Write(u.sendFunc); err != nil {
			return sent, fmt.Errorf("sending: %w", err)
		}
		if u.errno != 0 && !passing(u.errno) {
			return sent, fmt.Errorf("sending: %w", u.errno)
		}
		if u.done == 0 {
			break
		}
		sent += u.done
	}
	return sent, nil
}

func (u *udpConn) Receive(wait time.Duration, each func(msg []byte, at time.Time)) error {
	if err := u.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if err := u.raw.Read(u.receiveFunc); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		return fmt.Errorf("receiving: %w", err)
	}
	if u.errno != 0 && !passing(u.errno) {
		return fmt.Errorf("receiving: %w", u.errno)
	}
	at := time.Now()
	for i := range u.done {
		each(u.receiveBuffers[i][:u.receiveHeaders[i].size], at)
	}
	return nil
}

// sendBatch never waits: what the socket does not take now is sent later.
func (u *udpConn) sendBatch(fd uintptr) bool {
	u.done, u.errno = mmsg(unix.SYS_SENDMMSG, fd, &u.sendHeaders[0], u.count)
	return true
}

// receiveBatch gives false, which makes the runtime wait, while there is nothing.
func (u *udpConn) receiveBatch(fd uintptr) bool {
	u.done, u.errno = mmsg(unix.SYS_RECVMMSG, fd, &u.receiveHeaders[0], batch)
	return u.errno != unix.EAGAIN
}

// mmsg calls sendmmsg(2) or recvmmsg(2), again while a signal interrupts it.
func mmsg(trap, fd uintptr, first *mmsghdr, count int) (int, syscall.Errno) {
	for {
		n, _, errno := unix.Syscall6(trap, fd, uintptr(unsafe.Pointer(first)), uintptr(count), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// passing tells the errors after which the socket goes on: full buffers, and
// the ICMP errors of earlier packets (nobody listens there, yet).
func passing(errno syscall.Errno) bool {
	switch errno {
	case unix.EAGAIN, unix.ENOBUFS, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH:
		return true
	}
	return false
}
