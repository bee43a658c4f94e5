package test

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"gslb/test/bed"
)

// scratch is a folder for the whole test run, gone afterwards.
var scratch string

func TestMain(m *testing.M) {
	if helper := os.Getenv(helperVariable); helper != "" {
		os.Exit(runHelper(helper, os.Args[1:]))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if dir := bed.Memory(); dir != "" { // for the folders of all tests, and of what they start
		os.Setenv("TMPDIR", dir)
	}
	dir, err := os.MkdirTemp("", "gslb-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	scratch = dir
	return m.Run()
}

// The programs under test, built once for the whole run, when first asked for.
var (
	buildGSLB    = sync.OnceValues(func() (string, error) { return bed.Build("..", "cmd/gslb", scratch) })
	buildLoadgen = sync.OnceValues(func() (string, error) { return bed.Build("..", "tools/loadgen", scratch) })
)

// binary returns the path of gslb. What runs it is not for where seconds are too long.
func binary(t testing.TB) string { return built(t, buildGSLB) }

func built(t testing.TB, build func() (string, error)) string {
	t.Helper()
	needLong(t)
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
