package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"gslb/test/bed"
)

// The test's binary is the echo as well: contestants starts os.Executable.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == echoCommand {
		fmt.Fprintln(os.Stderr, serveEcho(os.Args[2]))
		os.Exit(1)
	}
	code := m.Run()
	if sharedTools.dir != "" {
		_ = os.RemoveAll(sharedTools.dir)
	}
	os.Exit(code)
}

// sharedTools is where the tools are for all tests, built by the first that asks.
var sharedTools struct {
	once sync.Once
	dir  string
	err  error
}

// builtTools returns a directory with the tools.
func builtTools(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds tools")
	}
	sharedTools.once.Do(func() {
		if sharedTools.dir, sharedTools.err = os.MkdirTemp("", "bench-test-"); sharedTools.err == nil {
			sharedTools.err = buildTools(t.Context(), sharedTools.dir)
		}
	})
	if sharedTools.err != nil {
		t.Fatal(sharedTools.err)
	}
	return sharedTools.dir
}

// testOptions are those of a short run, unpinned, in a directory of the test.
func testOptions(t *testing.T, command string) *options {
	t.Helper()
	if bed.RaceDetector && command != "dns" {
		t.Skip("as without the race detector, but slower")
	}
	tools := builtTools(t)
	t.Setenv("TMPDIR", t.TempDir())
	return &options{
		Command: command, Servers: []string{"gslb"}, Workloads: commandNamed(command).workloads, Changes: changeNames(), Seconds: 0.05, Repeat: 1, Rounds: 1, Networks: 2500, Names: 100,
		ServerCPU: -1, LoadCPU: -1, Out: filepath.Join(t.TempDir(), "page.md"), args: []string{command}, Tools: tools,
	}
}

// smoke runs a benchmark and returns its page.
func smoke(t *testing.T, o *options) string {
	t.Helper()
	var progress strings.Builder
	if err := benchmark(t.Context(), o, &progress); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	t.Log(progress.String())
	page, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	expectEmpty(t, os.Getenv("TMPDIR"))
	return string(page)
}

// A short run of all workloads on gslb and the echo: every answer is checked, no
// speed is. What gslb cannot yet is left out, with the reason.
func TestSmoke(t *testing.T) {
	o := testOptions(t, "dns")
	page := smoke(t, o)
	missing := 0
	for _, w := range workloads {
		_, part, _ := strings.Cut(page, "\n### "+w.title+"\n")
		part, _, _ = strings.Cut(part, "\n### ")
		if !strings.Contains(part, "\n| "+echoTitle+" |") {
			t.Errorf("%s: no echo:\n%s", w.name, part)
		}
		if !strings.Contains(part, "\n| gslb |") {
			if !w.needs.signed || !strings.Contains(part, "Not measured") {
				t.Errorf("%s: no gslb:\n%s", w.name, part)
			}
			missing++
		}
	}
	t.Logf("%d workloads without gslb", missing)
	for _, f := range plottedFigures {
		if _, err := os.Stat(filepath.Join(strings.TrimSuffix(o.Out, ".md"), f.file)); err != nil {
			t.Error(err)
		}
	}
}

// Each installed peer starts, and answers rightly what it is measured with.
func TestPeersAnswerRightly(t *testing.T) {
	if bed.RaceDetector {
		t.Skip("as without the race detector, but slower")
	}
	dir := builtTools(t)
	o := &options{Servers: peerNames(), Names: 100, Networks: 2500}
	d, err := newDataset(t.Context(), o, everything, t.TempDir(), dir)
	if err != nil {
		t.Fatal(err)
	}
	found, missing, err := contestants(t.Context(), o, dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("not installed: %v", missing)
	for _, c := range found {
		if c.isEcho() {
			continue
		}
		t.Run(c.peer.name, func(t *testing.T) {
			s, err := c.begin(t.Context(), job{cpu: -1, workers: 1, needs: everything, within: time.Minute}, d, readable(t))
			if err != nil {
				t.Skipf("does not start here: %v", err) // without its geoip module, or as this user
			}
			defer s.stop()
			if c.note != "" {
				t.Log(c.note)
			}
			for i := range workloads {
				w := &workloads[i]
				if w.possible(c.can) != "" || w.needs.signed && c.peer.name == gslb.name { // whether gslb signs is for its own tests
					continue
				}
				if err := s.verify(t.Context(), w, d); err != nil {
					t.Errorf("%s: %v", w.name, err)
				}
			}
		})
	}
}

// The verification must find an answer that is wrong: the echo gives none.
func TestVerifyFindsFaults(t *testing.T) {
	dir := builtTools(t)
	d, err := newDataset(t.Context(), &options{Names: 10, Networks: 2500}, everything, t.TempDir(), dir)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	echo := &contestant{title: echoTitle, path: self, echo: []string{echoCommand, "ADDRESS"}}
	s, err := echo.start(t.Context(), job{cpu: -1, within: time.Minute}, d, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	for i := range workloads {
		if err := s.verify(t.Context(), &workloads[i], d); err == nil {
			t.Errorf("%s: an echo passes", workloads[i].name)
		}
	}
}

// An interrupted run ends its servers and leaves no directory.
func TestInterrupted(t *testing.T) {
	o := testOptions(t, "dns")
	o.Seconds, o.Workloads = 60, []string{"static"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Tools = ""                          // it builds
	time.AfterFunc(2*time.Second, cancel) // while it builds or measures: either must end the same way
	if err := benchmark(ctx, o, io.Discard); err == nil {
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
	for deadline := time.Now().Add(time.Minute); syscall.Kill(-p.cmd.Process.Pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a process of the group is left")
		}
	}
}

// readable is a directory that servers can read after they dropped privileges.
func readable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func expectEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "gslb-bench-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The other benchmarks, with little of everything: figures for gslb, and no failure.
func TestScaleSmoke(t *testing.T) {
	o := testOptions(t, "scale")
	o.ServerCPU = 0 // it needs one core to compare with
	if page := smoke(t, o); strings.Count(page, "| gslb |") != len(o.Workloads) {
		t.Errorf("not all was measured:\n%s", page)
	}
}

func TestDisturbSmoke(t *testing.T) {
	all := disturbances
	t.Cleanup(func() { disturbances = all })
	disturbances = slices.Clone(all)
	for i := range disturbances { // that each is measured is enough here
		disturbances[i].beside, disturbances[i].part = 1, min(disturbances[i].part, 1)
	}
	page := smoke(t, testOptions(t, "disturb"))
	for _, level := range loadLevels {
		for _, what := range disturbances {
			if !strings.Contains(page, "| "+level.title+" | "+what.title+" |") {
				t.Errorf("no row of %s under %s:\n%s", what.title, level.title, page)
			}
		}
	}
}

func TestZonesSmoke(t *testing.T) {
	o := testOptions(t, "zones")
	o.Names, o.Zones = 3000, 20
	if page := smoke(t, o); !strings.Contains(page, "\n| gslb |") || strings.Contains(page, "Not measured") || !strings.Contains(page, "After a change of one of the zones") {
		t.Errorf("not measured:\n%s", page)
	}
}

// A database with another epoch is read as before.
func TestWithEpoch(t *testing.T) {
	dir := builtTools(t)
	from, to := filepath.Join(t.TempDir(), "from.mmdb"), filepath.Join(t.TempDir(), "to.mmdb")
	if err := makeDatabase(t.Context(), dir, "city", "GeoLite2-City", 2500, from); err != nil {
		t.Fatal(err)
	}
	if err := withEpoch(from, to, 1800000000); err != nil {
		t.Fatal(err)
	}
	db, err := maxminddb.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Verify(); err != nil || db.Metadata.BuildEpoch != 1800000000 {
		t.Errorf("epoch %d, %v", db.Metadata.BuildEpoch, err)
	}
	if err := withEpoch(filepath.Join(dir, "mkgeo"), to, 1); err == nil {
		t.Error("a program passes for a database")
	}
}

// The subnets are of networks that the database knows, of one length.
func TestWriteSubnets(t *testing.T) {
	dir := builtTools(t)
	d, err := newDataset(t.Context(), &options{Names: 10, Networks: 2500}, everything, t.TempDir(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for file, bits := range map[string]int{d.subnets4: 24, d.subnets6: 56, d.operatorSubnets: 24} {
		list, err := readSubnets(file)
		if err != nil || len(list) < 500 {
			t.Fatalf("%s: %d networks, %v", file, len(list), err)
		}
		database := d.database
		if file == d.operatorSubnets {
			database = d.operators
		}
		for _, p := range list {
			var record map[string]any
			if found, _, err := lookUp(database, p, &record); err != nil || !found || p.Bits() != bits || p.Addr().Is4() != (bits == 24) {
				t.Fatalf("%s: %s: found %v, %v", file, p, found, err)
			}
		}
	}
}

// Idle connections need more descriptors than everyone has.
func TestBalancers(t *testing.T) {
	o := testOptions(t, "balancer")
	o.Workloads = []string{"short", "down"}
	page := smoke(t, o)
	for _, want := range []string{"## The L4 tier beside other balancers", "### A connection for each request", "| servers alone | – |", "| gslb | "} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in\n%s", want, page)
		}
	}
	if strings.Contains(page, "gslb is left out") || strings.Contains(page, "Not measured: gslb") {
		t.Error(page)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(o.Out), "page", "balancer.svg")); err != nil {
		t.Error(err)
	}
}

// The planes are measured in namespaces that are gone afterwards.
func TestPlanes(t *testing.T) {
	if bed.RaceDetector {
		t.Skip("as without the race detector, but slower")
	}
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, ok := findBinary("ip"); !ok {
		t.Skip("ip is not installed")
	}
	o := testOptions(t, "planes")
	o.Seconds = 0.1
	page := smoke(t, o)
	for _, want := range []string{"## The planes of the L4 tier, on the wire", "| no balancer | ", "| gslb, proxy | ", "- A client, a router"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in\n%s", want, page)
		}
	}
}
