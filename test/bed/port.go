package bed

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Ports are taken from below the range that systems use for port 0 and for
// outgoing connections, so that nobody gets one between the moment it is found
// free and the moment a process listens on it; and each only once in a run, of all
// test programs that run at the same time (claim).
const (
	firstPort = 12000
	lastPort  = 31000
)

var given sync.Map // port -> true

// FreeAddress gives 127.0.0.1 with a port that nobody has, for UDP and TCP.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", FreePort(t, "127.0.0.1"))
}

// FreePort gives a port that nobody has on any of the hosts, for UDP and TCP.
func FreePort(t testing.TB, hosts ...string) int {
	t.Helper()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if _, twice := given.LoadOrStore(port, true); !twice && claim(port) && isFree(port, hosts) {
			return port
		}
	}
	t.Fatalf("no port is free on %v", hosts)
	return 0
}

func isFree(port int, hosts []string) bool {
	for _, host := range hosts {
		address := net.JoinHostPort(host, strconv.Itoa(port))
		l, err := net.Listen("tcp", address)
		if err != nil {
			return false
		}
		l.Close()
		p, err := net.ListenPacket("udp", address)
		if err != nil {
			return false
		}
		p.Close()
	}
	return true
}
