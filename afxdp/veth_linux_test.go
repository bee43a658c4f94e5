package afxdp

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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
	if _, err := exec.LookPath("ip"); err != nil {
		bed.Missing(t, "ip is not installed")
	}
	if os.Geteuid() != 0 {
		bed.Missing(t, "network namespaces need root")
	}
	word := fmt.Sprintf("gslb-xdp-%08x", rand.Uint32())
	v := veth{word + "-s", word + "-c"}
	for _, ns := range []string{v.server, v.client} {
		if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
			bed.Missing(t, "network namespaces cannot be made here: %s", out)
		}
		t.Cleanup(func() { ip(t, "netns", "del", ns) })
	}
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

// ip runs ip(8). Should what it undoes be gone already, that is no fault of the test.
func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// inside runs f on a thread in a network namespace. The thread ends with it.
func inside(t testing.TB, ns string, f func()) {
	t.Helper()
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: nothing else runs on it
		var fd int
		if fd, err = unix.Open("/var/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return
		}
		defer unix.Close(fd)
		if err = unix.Setns(fd, unix.CLONE_NEWNET); err == nil {
			f()
		}
	}()
	<-done
	if err != nil {
		t.Fatalf("namespace %s: %v", ns, err)
	}
}
