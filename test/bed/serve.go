package bed

import (
	"net"
	"testing"
)

// Serve serves each connection to a listener, each in a goroutine of its own, until
// the test ends, and gives the listener's address.
func Serve(t testing.TB, l net.Listener, serve func(net.Conn)) string {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}
