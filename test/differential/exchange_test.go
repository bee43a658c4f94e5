package differential

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// asker asks the servers, one question at a time. It has a UDP socket and a TCP
// connection for each of them.
type asker struct {
	peers []*peer
	udp   []net.Conn
	tcp   []net.Conn // nil until it is needed
	buf   []byte
}

func newAsker(peers []*peer) (*asker, error) {
	a := &asker{peers: peers, tcp: make([]net.Conn, len(peers)), buf: make([]byte, 65535)}
	for _, p := range peers {
		c, err := net.Dial("udp", p.address)
		if err != nil {
			a.Close()
			return nil, err
		}
		a.udp = append(a.udp, c)
	}
	return a, nil
}

func (a *asker) Close() {
	for _, c := range append(a.udp, a.tcp...) {
		if c != nil {
			c.Close()
		}
	}
}

const (
	patience = 10 * time.Second // how long an answer to a question may take; it is asked three times
	silence  = 8 * time.Second  // who says nothing for so long to what is no question says nothing to it
)

// ask puts one question to all servers at once and gives the answers in the order of the servers.
func (a *asker) ask(network string, msg []byte) ([][]byte, error) {
	if network == "tcp" {
		return a.askTCP(msg)
	}
	answers := make([][]byte, len(a.peers))
	for range 3 {
		for i, c := range a.udp {
			if answers[i] == nil {
				if _, err := c.Write(msg); err != nil {
					return nil, fmt.Errorf("%s: %w", a.peers[i].name, err)
				}
			}
		}
		whole := true
		for i, c := range a.udp {
			if answers[i] == nil {
				answers[i] = readAnswer(c, a.buf, binary.BigEndian.Uint16(msg), time.Now().Add(patience))
			}
			whole = whole && answers[i] != nil
		}
		if whole {
			return answers, nil
		}
	}
	for i, answer := range answers {
		if answer == nil {
			return nil, fmt.Errorf("%s did not answer over UDP", a.peers[i].name)
		}
	}
	return answers, nil
}

// readAnswer waits for the datagram with that ID; others are of questions asked before.
func readAnswer(c net.Conn, buf []byte, id uint16, until time.Time) []byte {
	_ = c.SetReadDeadline(until)
	for {
		n, err := c.Read(buf)
		if errors.Is(err, net.ErrClosed) || isTimeout(err) {
			return nil
		}
		if err == nil && n >= 2 && binary.BigEndian.Uint16(buf) == id {
			return append([]byte(nil), buf[:n]...)
		}
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func (a *asker) askTCP(msg []byte) ([][]byte, error) {
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
	answers := make([][]byte, len(a.peers))
	for i := range a.peers {
		if a.tcp[i] != nil {
			_, _ = a.tcp[i].Write(framed) // an error is seen when reading, and asked again
		}
	}
	for i, p := range a.peers {
		if a.tcp[i] != nil {
			answers[i], _ = readFramed(a.tcp[i])
		}
		if answers[i] != nil {
			continue
		}
		// A connection that the server has closed meanwhile, or the first one.
		if a.tcp[i] != nil {
			a.tcp[i].Close()
		}
		c, err := net.Dial("tcp", p.address)
		if err != nil {
			return nil, err
		}
		a.tcp[i] = c
		if _, err = c.Write(framed); err == nil {
			answers[i], err = readFramed(c)
		}
		if err != nil {
			return nil, fmt.Errorf("%s over TCP: %w", p.name, err)
		}
	}
	return answers, nil
}

func readFramed(c net.Conn) ([]byte, error) {
	_ = c.SetReadDeadline(time.Now().Add(3 * patience))
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(head[:]))
	_, err := io.ReadFull(c, msg)
	return msg, err
}

// sendFramed sends one message over a TCP connection of its own. No answer is
// no error: the server closes the connection, or goes on waiting.
func (a *asker) sendFramed(msg []byte) ([]byte, error) {
	c, err := net.Dial("tcp", a.peers[0].address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)); err != nil {
		return nil, err
	}
	_ = c.SetReadDeadline(time.Now().Add(silence))
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, nil
	}
	answer := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(c, answer); err != nil {
		return nil, err
	}
	return answer, nil
}
