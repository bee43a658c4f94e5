package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// conn carries whole DNS messages to and from the server on one socket. It is
// used by one goroutine.
type conn interface {
	// Send sends as many of msgs as the socket takes and returns how many. An
	// error says that the socket is of no more use.
	Send(msgs [][]byte) (int, error)
	// Receive waits at most wait for messages, then hands over all that are
	// there, with the time they were received at; none is no error. A message is
	// valid only until each returns.
	Receive(wait time.Duration, each func(msg []byte, at time.Time)) error
	Close() error
}

const (
	batch       = 64 // messages of one system call
	dialTimeout = 5 * time.Second
	maxDatagram = 4096 // octets; a longer answer is cut, and counted as malformed
)

func dial(o *options) (conn, error) {
	network := "udp"
	if o.TCP {
		network = "tcp"
	}
	c, err := net.DialTimeout(network, o.Server, dialTimeout)
	if err != nil {
		return nil, err
	}
	if udp, ok := c.(*net.UDPConn); ok {
		// Room for a burst of answers; the system may give less.
		_ = udp.SetReadBuffer(4 << 20)
		_ = udp.SetWriteBuffer(1 << 20)
		return newUDP(udp)
	}
	return newTCP(c, o.Timeout), nil
}

// tcpConn frames messages with their length (RFC 1035 section 4.2.2) and sends
// a batch with one write (RFC 7766 section 6.2.1.1).
type tcpConn struct {
	net.Conn
	timeout time.Duration
	out     []byte
	in      []byte // received and not yet handed over: in[start:end]
	start   int
	end     int
}

func newTCP(c net.Conn, timeout time.Duration) *tcpConn {
	const frame = 2 + 65535
	return &tcpConn{Conn: c, timeout: timeout, out: make([]byte, 0, batch*(2+maxQuery)), in: make([]byte, 2*frame)}
}

// redial closes the connection for a new one. What was not answered is lost.
func (c *tcpConn) redial() error {
	_ = c.Close() // of its failure the new one will tell
	next, err := net.DialTimeout("tcp", c.RemoteAddr().String(), dialTimeout)
	if err != nil {
		return err
	}
	c.Conn, c.start, c.end = next, 0, 0
	return nil
}

func (c *tcpConn) Send(msgs [][]byte) (int, error) {
	c.out = c.out[:0]
	for _, m := range msgs {
		c.out = binary.BigEndian.AppendUint16(c.out, uint16(len(m)))
		c.out = append(c.out, m...)
	}
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	if _, err := c.Write(c.out); err != nil {
		return 0, fmt.Errorf("sending: %w", err) // half a message may be out: the stream is lost
	}
	return len(msgs), nil
}

func (c *tcpConn) Receive(wait time.Duration, each func(msg []byte, at time.Time)) error {
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	n, err := c.Read(c.in[c.end:])
	at := time.Now()
	c.end += n
	for c.end-c.start >= 2 {
		size := int(binary.BigEndian.Uint16(c.in[c.start:]))
		if c.end-c.start < 2+size {
			break
		}
		each(c.in[c.start+2:c.start+2+size], at)
		c.start += 2 + size
	}
	c.end = copy(c.in, c.in[c.start:c.end])
	c.start = 0
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return fmt.Errorf("receiving: %w", err)
}
