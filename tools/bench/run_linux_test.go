package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test's binary is the echo as well: contestants starts os.Executable.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == echoCommand {
		fmt.Fprintln(os.Stderr, serveEcho(os.Args[2]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A short run of all workloads on gslb and the echo, unpinned: every answer is
// checked, no speed is.
func TestSmoke(t *testing.T) {
	if testing.Short() {
		t.Skip("builds gslb")
	}
	t.Setenv("TMPDIR", t.TempDir())
	o := &options{
		Servers: []string{"gslb"}, Workloads: workloadNames(), Seconds: 0.1, Repeat: 1, Networks: 2500, Names: 100,
		ServerCPU: -1, LoadCPU: -1, Out: filepath.Join(t.TempDir(), "page.md"),
	}
	var progress strings.Builder
	if err := compare(t.Context(), o, &progress); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	page, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), "Not measured") || strings.Count(string(page), "\n| gslb |") != len(workloads) || strings.Count(string(page), "\n| echo |") != len(workloads) {
		t.Errorf("not all was measured:\n%s\n%s", progress.String(), page)
	}
	if _, err := os.Stat(filepath.Join(strings.TrimSuffix(o.Out, ".md"), "cpu.svg")); err != nil {
		t.Error(err)
	}
	expectEmpty(t, os.Getenv("TMPDIR"))
}

// Each installed peer starts, and answers rightly what it is measured with.
func TestPeersAnswerRightly(t *testing.T) {
	if testing.Short() {
		t.Skip("builds tools")
	}
	dir := t.TempDir()
	if err := buildTools(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	o := &options{Servers: peerNames(), Names: 100, Networks: 2500, ServerCPU: -1, LoadCPU: -1}
	d, err := newDataset(t.Context(), o, dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	found, missing, err := contestants(t.Context(), o, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("not installed: %v", missing)
	for _, c := range found[1:] {
		t.Run(c.peer.name, func(t *testing.T) {
			s, err := c.start(t.Context(), o, d, dir)
			if err != nil {
				t.Skipf("does not start here: %v", err) // without its geoip module, or as this user
			}
			defer s.stop()
			for i := range workloads {
				if w := &workloads[i]; w.possible(c.can) == "" {
					if err := s.verify(t.Context(), w, d); err != nil {
						t.Errorf("%s: %v", w.name, err)
					}
				}
			}
		})
	}
}

// The verification must find an answer that is wrong: the echo gives none.
func TestVerifyFindsFaults(t *testing.T) {
	d := &dataset{names: 10}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	echo := &contestant{title: "echo", path: self}
	s, err := echo.start(t.Context(), &options{ServerCPU: -1}, d, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	for i := range workloads {
		if w := &workloads[i]; !w.steered {
			if err := s.verify(t.Context(), w, d); err == nil {
				t.Errorf("%s: an echo passes", w.name)
			}
		}
	}
}

// An interrupted run ends its servers and leaves no directory.
func TestInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("builds gslb")
	}
	t.Setenv("TMPDIR", t.TempDir())
	o := &options{
		Servers: []string{"gslb"}, Workloads: []string{"static"}, Seconds: 60, Repeat: 1, Networks: 2500, Names: 100,
		ServerCPU: -1, LoadCPU: -1, Out: filepath.Join(t.TempDir(), "page.md"),
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	time.AfterFunc(2*time.Second, cancel) // while it builds or measures: either must end the same way
	if err := compare(ctx, o, io.Discard); err == nil {
		t.Error("ended without an error")
	}
	if _, err := os.Stat(o.Out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a page of half a run: %v", err)
	}
	expectEmpty(t, os.Getenv("TMPDIR"))
}

// Stop ends what a server started, too, and what does not heed SIGTERM.
func TestStopEndsTheGroup(t *testing.T) {
	dir := t.TempDir()
	p, err := startProcess(-1, dir, "/bin/sh", "-c", "sleep 1000 & echo child; wait")
	if err != nil {
		t.Fatal(err)
	}
	if p.ended() {
		t.Errorf("ended at once: %s", p.lastWords())
	}
	p.stop()
	for deadline := time.Now().Add(5 * time.Second); syscall.Kill(-p.cmd.Process.Pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a process of the group is left")
		}
	}
}

func expectEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "gslb-bench-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
