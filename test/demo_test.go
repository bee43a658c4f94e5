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

// demonstration is gslb demo on ports that nobody has, with a folder of its own
// for its files.
type demonstration struct {
	argv     []string
	dns, api string
	folder   string
}

func newDemonstration(t *testing.T, args ...string) demonstration {
	t.Helper()
	needLong(t)
	needLinux(t)
	d := demonstration{dns: freeAddress(t), api: freeAddress(t), folder: t.TempDir()}
	port := func(address string) string { _, p, _ := net.SplitHostPort(address); return p }
	d.argv = []string{"env", "TMPDIR=" + d.folder, binary(t), "demo", "--color", "never", "--dns-port", port(d.dns), "--api-port", port(d.api), "--port", strconv.Itoa(freeSitePort(t))}
	d.argv = append(d.argv, args...)
	return d
}

// TestDemoScript: the story that the demonstration tells comes true, and
// leaves nothing behind.
func TestDemoScript(t *testing.T) {
	d := newDemonstration(t, "--script")
	r := run(t, 3*time.Minute, d.argv...)
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
	d.leavesNothing(t)
}

// TestDemo: the demonstration's own example lines work, and Ctrl-C ends it all.
func TestDemo(t *testing.T) {
	d := newDemonstration(t)
	p := start(t, "demo", nil, d.argv...)
	p.says("Ctrl-C ends everything")
	n := &node{process: p, dns: d.dns, api: d.api}
	for _, want := range []string{"dig @", "+subnet=", "nslookup ", " explain www.abc.com ", " status", " plan ", " apply ", " promote ", " simulate ", "kill -9 ", "delv @"} {
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
		case words[0] == "dig" || words[0] == "nslookup" || words[0] == "curl" || words[0] == "delv":
			tryLine(t, words)
		case words[0] == binary(t) && len(words) > 1 && slices.Contains([]string{"explain", "status", "plan", "apply", "promote", "simulate"}, words[1]):
			must(t, "sh", "-c", command) // with quotes
		}
	}
	n.sentTo(patience, "198.19.1.0/24", "us") // by the change that was planned, tried and promoted
	p.Signal(os.Interrupt)
	select {
	case <-p.done:
	case <-time.After(stopTime):
		t.Fatalf("not ended %v after Ctrl-C", stopTime)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d after Ctrl-C", code)
	}
	d.leavesNothing(t)
}

// tryLine runs a line that the demonstration told to paste.
func tryLine(t *testing.T, words []string) {
	t.Helper()
	if os.Getenv("GSLB_CI") != "1" && run(t, time.Second, "sh", "-c", "command -v "+words[0]).code != 0 {
		t.Logf("not tried, %s is not installed: %s", words[0], strings.Join(words, " "))
		return
	}
	if out := must(t, words...); words[0] == "dig" && !strings.Contains(out, "status: NOERROR") || strings.TrimSpace(out) == "" || words[0] == "delv" && !strings.Contains(out, "; fully validated") {
		t.Errorf("%s:\n%s", strings.Join(words, " "), out)
	}
}

// TestDemoKilled: even a demonstration that is killed takes its family with it.
func TestDemoKilled(t *testing.T) {
	d := newDemonstration(t)
	p := start(t, "demo", nil, d.argv...)
	p.says("Ctrl-C ends everything")
	p.Kill()
	until(t, patience, func() error {
		if left := processes(binary(t)); len(left) > 0 {
			return fmt.Errorf("processes are left: %v", left)
		}
		return nil
	})
}

// TestDemoPortTaken: which port it is, and which flag changes it.
func TestDemoPortTaken(t *testing.T) {
	d := newDemonstration(t)
	l, err := net.Listen("tcp", d.dns)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := run(t, patience, d.argv...)
	if r.code != 1 || !strings.Contains(r.err, d.dns) || !strings.Contains(r.err, "-dns-port") {
		t.Errorf("exit code %d: %s", r.code, tail(r.err, 20))
	}
	d.leavesNothing(t)
}

// leavesNothing looks for processes of the binary and for files.
func (d demonstration) leavesNothing(t *testing.T) {
	t.Helper()
	if left := processes(binary(t)); len(left) > 0 {
		t.Errorf("processes are left behind: %v", left)
	}
	d.leavesNoFiles(t)
}

func (d demonstration) leavesNoFiles(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(d.folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		t.Errorf("%s is left behind", f.Name())
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
