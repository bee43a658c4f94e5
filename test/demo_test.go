package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// demo gives the command line of a demonstration on ports that nobody has.
func demo(t *testing.T, args ...string) (argv []string, dnsAddress, apiAddress string) {
	t.Helper()
	needLong(t)
	needLinux(t)
	dnsAddress, apiAddress = freeAddress(t), freeAddress(t)
	port := func(address string) string { _, p, _ := net.SplitHostPort(address); return p }
	argv = []string{binary(t), "demo", "--color", "never", "--dns-port", port(dnsAddress), "--api-port", port(apiAddress), "--port", strconv.Itoa(freePort(t))}
	return append(argv, args...), dnsAddress, apiAddress
}

// TestDemoScript: the story that the demonstration tells comes true, and
// leaves nothing behind.
func TestDemoScript(t *testing.T) {
	argv, _, _ := demo(t, "--script")
	folders := demoFolders(t)
	r := run(t, 3*time.Minute, argv...)
	if r.code != 0 {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	for _, want := range []string{"a.www.abc.com.", "b.www.abc.com.", "c.www.abc.com.", "d.www.abc.com.", "The site recovers", "everything is stopped and removed again"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in the story:\n%s", want, r.out)
		}
	}
	// A visit that the dying server had in hand may fail, no other.
	if !strings.Contains(r.out, "visits none failed") && !strings.Contains(r.out, "under way inside the server when it died") {
		t.Errorf("users noticed the death of a server:\n%s", r.out)
	}
	if strings.Contains(r.out, "\x1b[") {
		t.Error("colours with --color never")
	}
	nothingLeft(t, folders)
}

// TestDemo: the demonstration's own example lines work, and Ctrl-C ends it all.
func TestDemo(t *testing.T) {
	argv, address, api := demo(t)
	folders := demoFolders(t)
	p := start(t, "demo", nil, argv...)
	p.says("Ctrl-C ends everything")
	n := &node{process: p, dns: address, api: api}
	for _, want := range []string{"dig @", "+subnet=", "nslookup ", " explain www.abc.com ", " status", "kill -9 "} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the guide has no line with %q:\n%s", want, p.log.String())
		}
	}
	if m := n.ask("www.abc.com.", dns.TypeA, ""); len(m.Answer) != 2 {
		t.Errorf("www.abc.com: %v", m)
	}
	for _, line := range strings.Split(p.log.String(), "\n") {
		command, _, _ := strings.Cut(strings.TrimSpace(line), "#")
		words := strings.Fields(command)
		switch {
		case len(words) == 0:
		case words[0] == "dig" || words[0] == "nslookup" || words[0] == "curl":
			tryLine(t, words)
		case words[0] == argv[0] && len(words) > 1 && (words[1] == "explain" || words[1] == "status"):
			must(t, words...)
		}
	}
	p.Signal(os.Interrupt)
	select {
	case <-p.done:
	case <-time.After(stopTime):
		t.Fatalf("not ended %v after Ctrl-C", stopTime)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d after Ctrl-C", code)
	}
	nothingLeft(t, folders)
}

// tryLine runs a line that the demonstration told to paste.
func tryLine(t *testing.T, words []string) {
	t.Helper()
	if os.Getenv("GSLB_CI") != "1" && run(t, time.Second, "sh", "-c", "command -v "+words[0]).code != 0 {
		t.Logf("not tried, %s is not installed: %s", words[0], strings.Join(words, " "))
		return
	}
	if out := must(t, words...); words[0] == "dig" && !strings.Contains(out, "status: NOERROR") || strings.TrimSpace(out) == "" {
		t.Errorf("%s:\n%s", strings.Join(words, " "), out)
	}
}

// TestDemoKilled: even a demonstration that is killed takes its family with it.
func TestDemoKilled(t *testing.T) {
	argv, _, _ := demo(t)
	folders := demoFolders(t)
	p := start(t, "demo", nil, argv...)
	p.says("Ctrl-C ends everything")
	p.Kill()
	until(t, 15*time.Second, func() error {
		if left := processes(binary(t)); len(left) > 0 {
			return fmt.Errorf("processes are left: %v", left)
		}
		return nil
	})
	for _, dir := range demoFolders(t) { // its files it cannot remove any more
		if !slices.Contains(folders, dir) {
			os.RemoveAll(dir)
		}
	}
}

// TestDemoPortTaken: which port it is, and which flag changes it.
func TestDemoPortTaken(t *testing.T) {
	argv, address, _ := demo(t)
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := run(t, 30*time.Second, argv...)
	if r.code != 1 || !strings.Contains(r.err, address) || !strings.Contains(r.err, "-dns-port") {
		t.Errorf("exit code %d: %s", r.code, tail(r.err, 20))
	}
}

func demoFolders(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(os.TempDir(), "gslb-demo-*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// nothingLeft looks for processes of the binary and for new folders.
func nothingLeft(t *testing.T, before []string) {
	t.Helper()
	if left := processes(binary(t)); len(left) > 0 {
		t.Errorf("processes are left behind: %v", left)
	}
	for _, dir := range demoFolders(t) {
		if !slices.Contains(before, dir) {
			t.Errorf("%s is left behind", dir)
		}
	}
}

// processes lists the ids of processes that run the program, by /proc.
func processes(program string) (pids []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if exe, err := os.Readlink(link); err == nil && exe == program {
			pids = append(pids, filepath.Base(filepath.Dir(link)))
		}
	}
	return pids
}
