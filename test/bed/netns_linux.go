package bed

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Netns makes network namespaces, one for each word, and returns their names. They
// go with the test, and everything in them. Where they cannot be made the test is Missing.
func Netns(t testing.TB, words ...string) []string {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		Missing(t, "ip is not installed")
	}
	if os.Geteuid() != 0 {
		Missing(t, "network namespaces need root")
	}
	prefix := fmt.Sprintf("gslb-%08x-", rand.Uint32())
	var names []string
	for _, word := range words {
		name := prefix + word
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			Missing(t, "network namespaces cannot be made here: %s", out)
		}
		t.Cleanup(func() { IP(t, "netns", "del", name) })
		names = append(names, name)
	}
	return names
}

// IP runs ip(8).
func IP(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// IPBatch runs lines of ip(8), all in one namespace and one process.
func IPBatch(t testing.TB, ns string, lines ...string) {
	t.Helper()
	cmd := exec.Command("ip", "-n", ns, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip -n %s -batch: %v: %s\n%s", ns, err, out, strings.Join(lines, "\n"))
	}
}

// Inside runs f on a thread in a network namespace, which ends with it: sockets
// that f makes are of that namespace, wherever they are used then.
func Inside(t testing.TB, ns string, f func()) {
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

// Sysctl sets settings of a namespace's network, such as "net.ipv4.ip_forward=1".
func Sysctl(t testing.TB, ns string, settings ...string) {
	t.Helper()
	Inside(t, ns, func() {
		for _, s := range settings {
			key, value, _ := strings.Cut(s, "=")
			// /proc/sys/net is that of the reader's namespace.
			if err := os.WriteFile("/proc/sys/"+strings.ReplaceAll(key, ".", "/"), []byte(value), 0o644); err != nil {
				t.Errorf("%s: %v", s, err)
			}
		}
	})
}
