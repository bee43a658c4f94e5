//go:build !linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// udpConn is a connected UDP socket: one message for each system call, where
// the system has no call for a batch.
type udpConn struct {
	*net.UDPConn
	buf [maxDatagram]byte
}

func newUDP(c *net.UDPConn) (conn, error) { return &udpConn{UDPConn: c}, nil }

// Send counts a message that the system refused as sent: it is a loss, as it is
// when the network drops it.
func (u *udpConn) Send(msgs [][]byte) (int, error) {
	for i, m := range msgs {
		if _, err := u.Write(m); errors.Is(err, net.ErrClosed) {
			return i, fmt.Errorf("sending: %w", err)
		}
	}
	return len(msgs), nil
}

func (u *udpConn) Receive(wait time.Duration, each func(msg []byte, at time.Time)) error {
	if err := u.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	n, err := u.Read(u.buf[:])
	switch {
	case err == nil:
		each(u.buf[:n], time.Now())
	case errors.Is(err, net.ErrClosed):
		return fmt.Errorf("receiving: %w", err)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		time.Sleep(min(wait, time.Millisecond)) // an ICMP error of an earlier packet: do not spin
	}
	return nil
}
