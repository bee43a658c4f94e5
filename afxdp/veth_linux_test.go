package afxdp

import (
	"fmt"
	"testing"

	"gslb/test/bed"
)

// veth is a pair of interfaces, each called eth0 in a network namespace of its
// own, with queues queues.
type veth struct{ server, client string }

var (
	serverAddrs = []string{"198.51.100.53/24", "2001:db8:1::53/64"}
	clientAddrs = []string{"198.51.100.7/24", "2001:db8:1::7/64"}
)

func newVeth(t testing.TB, queues int) veth {
	t.Helper()
	bed.Long(t)
	ns := bed.Netns(t, "xdp-s", "xdp-c")
	v := veth{ns[0], ns[1]}
	n := fmt.Sprint(queues)
	ip(t, "link", "add", "eth0", "netns", v.server, "numrxqueues", n, "numtxqueues", n,
		"type", "veth", "peer", "name", "eth0", "netns", v.client, "numrxqueues", n, "numtxqueues", n)
	v.address(t)
	return v
}

// address gives both ends their addresses and brings them up.
func (v veth) address(t testing.TB) {
	for _, end := range []struct {
		ns    string
		addrs []string
	}{{v.server, serverAddrs}, {v.client, clientAddrs}} {
		for _, a := range end.addrs {
			ip(t, "-n", end.ns, "addr", "add", a, "dev", "eth0", "nodad")
		}
		ip(t, "-n", end.ns, "link", "set", "lo", "up")
		ip(t, "-n", end.ns, "link", "set", "eth0", "up")
	}
}

func ip(t testing.TB, args ...string) {
	t.Helper()
	bed.IP(t, args...)
}

func inside(t testing.TB, ns string, f func()) {
	t.Helper()
	bed.Inside(t, ns, f)
}
