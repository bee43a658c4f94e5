package test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gslb/test/bed"
)

const (
	// patience is when a test that waits gives up: nothing that is measured, and
	// as long as a machine that does much else may take.
	patience = 90 * time.Second
	// stopTime bounds how long a process may take to end after SIGTERM.
	stopTime = time.Minute
)

// process is a started program. It is ended with the test, whatever happens;
// its output is shown when the test failed.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	log  *output
	done chan struct{} // closed when it has ended
	// killed: with SIGKILL, by this test. Otherwise it has to end with exit code 0.
	killed bool
}

// start starts a program. env is added to this process's own environment.
func start(t testing.TB, name string, env []string, argv ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(argv[0], argv[1:]...), log: &output{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := bed.StartGrouped(p.cmd); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // its exit code is in ProcessState
		close(p.done)
	}()
	t.Cleanup(p.end)
	return p
}

// end stops the process at the end of the test and looks at what it said.
func (p *process) end() {
	p.Stop()
	if code := p.cmd.ProcessState.ExitCode(); code != 0 && !p.killed {
		p.t.Errorf("%s: exit code %d at its end (%v)", p.name, code, p.cmd.ProcessState)
	}
	log := p.log.String()
	for _, bad := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
		if strings.Contains(log, bad) {
			p.t.Errorf("%s: its log has %q", p.name, bad)
		}
	}
	if p.t.Failed() {
		p.t.Logf("output of %s (%v):\n%s", p.name, p.cmd.ProcessState, tail(log, 200))
	}
}

// Stop asks the process to end with SIGTERM and waits; one that does not end is
// killed, which fails the test.
func (p *process) Stop() {
	p.t.Helper()
	if p.ended() {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTime):
		p.t.Errorf("%s did not end within %v of SIGTERM", p.name, stopTime)
		p.Kill()
	}
}

// Kill ends the process with SIGKILL, as a crash or a power cut does.
func (p *process) Kill() {
	p.t.Helper()
	p.killed = true
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Signal sends a signal.
func (p *process) Signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// says waits until the process's output holds the text.
func (p *process) says(text string) {
	p.t.Helper()
	until(p.t, patience, func() error {
		if strings.Contains(p.log.String(), text) {
			return nil
		}
		if p.ended() {
			p.t.Fatalf("%s ended (%v) without saying %q", p.name, p.cmd.ProcessState, text)
		}
		return fmt.Errorf("%s has not said %q", p.name, text)
	})
}

// saysTimes waits until the process's output holds the text so often. What a process says of
// its work may come after others have seen what it did.
func (p *process) saysTimes(text string, times int) {
	p.t.Helper()
	until(p.t, patience, func() error {
		if n := strings.Count(p.log.String(), text); n < times {
			return fmt.Errorf("%s has said %q %d times, want %d", p.name, text, n, times)
		}
		return nil
	})
}

// output collects what a process says. The last part is kept.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

const maxOutput = 8 << 20

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.Len() > maxOutput {
		o.buf.Next(maxOutput / 2)
	}
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// tail is the last lines of s.
func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(all) > lines {
		all = append([]string{fmt.Sprintf("… %d lines before", len(all)-lines)}, all[len(all)-lines:]...)
	}
	return strings.Join(all, "\n")
}

// result is a command that has ended.
type result struct {
	out, err string
	code     int
}

// run runs a command to its end. It fails the test when the command cannot be
// started or takes too long, not for its exit code.
func run(t testing.TB, limit time.Duration, argv ...string) result {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second
	if err := bed.StartGrouped(cmd); err != nil {
		t.Fatalf("%s: %v", strings.Join(argv, " "), err)
	}
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !timer.Stop() {
		t.Fatalf("%s: not finished after %v\n%s%s", strings.Join(argv, " "), limit, out.String(), errs.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(argv, " "), err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// must is run for a command that has to succeed; it returns its output.
func must(t testing.TB, argv ...string) string {
	t.Helper()
	r := run(t, patience, argv...)
	if r.code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", strings.Join(argv, " "), r.code, r.out, r.err)
	}
	return r.out
}

// until calls f until it gives nil, which it must within the limit.
func until(t testing.TB, limit time.Duration, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", limit, err)
		}
	}
}

// write writes a file into a folder that is gone after the test, and gives its path.
func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// replace puts a new file in the place of another at once, as operators should.
func replace(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func randomWord() string { return fmt.Sprintf("%08x", rand.Uint32()) }

// replaceText changes a part of a file.
func replaceText(t testing.TB, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s: has no %q", path, old)
	}
	replace(t, path, []byte(strings.ReplaceAll(string(text), old, new)))
}
