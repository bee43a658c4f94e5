package balancer

import (
	"io"
	"net"
	"testing"
)

// The benchmarks run client, balancer and server in one process on loopback, so
// compare a line "direct" (no balancer) with the line "balanced" of the same
// run, and nothing else.

// both runs a benchmark against a server directly and through a balancer.
func both(b *testing.B, serve func(*net.TCPConn), run func(b *testing.B, address string)) {
	server := newBackend(b, "server", serve)
	b.Run("direct", func(b *testing.B) { run(b, server.address) })
	b.Run("balanced", func(b *testing.B) {
		r := newRig(b, config(server), nil)
		run(b, r.address)
		b.StopTimer()
		r.stop()
	})
}

func dial(b *testing.B, address string) *net.TCPConn {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// BenchmarkNewConnection makes a connection, sends a request, reads the answer
// to its end, for each operation. The client ends with a reset, so that no port
// is left in TIME_WAIT.
func BenchmarkNewConnection(b *testing.B) {
	serve := func(c *net.TCPConn) {
		var buf [64]byte
		n, _ := c.Read(buf[:])
		c.Write(buf[:n])
		c.Read(buf[:])
		c.Close()
	}
	both(b, serve, func(b *testing.B, address string) {
		var buf [64]byte
		for b.Loop() {
			conn := dial(b, address)
			conn.Write(buf[:])
			if _, err := io.ReadFull(conn, buf[:]); err != nil {
				b.Fatal(err)
			}
			reset(conn)
		}
	})
}

// BenchmarkRequest sends a request and reads the answer on a connection that stays.
func BenchmarkRequest(b *testing.B) {
	both(b, func(c *net.TCPConn) { io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) }, func(b *testing.B, address string) {
		conn := dial(b, address)
		defer conn.Close()
		var buf [64]byte
		b.ReportAllocs()
		for b.Loop() {
			conn.Write(buf[:])
			if _, err := io.ReadFull(conn, buf[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkBulk receives as much as the server can send.
func BenchmarkBulk(b *testing.B) {
	serve := func(c *net.TCPConn) {
		block := make([]byte, 1<<20)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}
	both(b, serve, func(b *testing.B, address string) {
		conn := dial(b, address)
		defer reset(conn)
		buf := make([]byte, 1<<20)
		b.SetBytes(int64(len(buf)))
		for b.Loop() {
			if _, err := io.ReadFull(conn, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}
