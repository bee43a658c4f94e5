package test

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"gslb/test/bed"
)

// needTool asks for commands of the system.
func needTool(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			bed.Missing(t, "%s is not installed", name)
		}
	}
}

// needLinux asks for 127.0.0.0/8 as a whole on the loopback interface.
func needLinux(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("needs the addresses 127.0.0.0/8, which %s does not have on loopback", runtime.GOOS)
	}
}

// needLong is for tests that take seconds.
func needLong(t testing.TB) {
	t.Helper()
	bed.Long(t)
}

// namespace makes a network namespace with nothing but a loopback interface,
// where every port is free, and gives the words that run a command in it.
func namespace(t testing.TB, addresses ...string) (words []string) {
	t.Helper()
	needTool(t, "ip")
	if os.Geteuid() != 0 {
		bed.Missing(t, "network namespaces need root")
	}
	name := "gslb-test-" + randomWord()
	ip := func(args ...string) error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			t.Logf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return err
	}
	if ip("netns", "add", name) != nil {
		bed.Missing(t, "network namespaces cannot be made here")
	}
	t.Cleanup(func() {
		if err := ip("netns", "del", name); err != nil {
			t.Errorf("namespace %s is left behind: %v", name, err)
		}
	})
	if ip("-n", name, "link", "set", "lo", "up") != nil {
		t.FailNow()
	}
	for _, a := range addresses {
		if ip("-n", name, "addr", "add", a, "dev", "lo") != nil {
			t.FailNow()
		}
	}
	return []string{"ip", "netns", "exec", name}
}
