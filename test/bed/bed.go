// Package bed is what tests need of the machine that they run on, wherever they
// stand: a reason to be skipped, and programs that end with them.
package bed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Missing ends a test that cannot run here: a skip with the reason, or a
// failure where everything must be there (GSLB_CI=1).
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("GSLB_CI") == "1" {
		t.Fatalf("GSLB_CI=1, but "+format, args...)
	}
	t.Skipf(format, args...)
}

// Long keeps a test of seconds out of -short, and out of the step of .ci/run that leaves it
// to another one (GSLB_LATER).
func Long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes several seconds: not with -short")
	}
	if step := os.Getenv("GSLB_LATER"); step != "" {
		t.Skipf("takes several seconds: runs in the step %s", step)
	}
}

// OneGoroutine keeps a test that computes for long in one goroutine out of runs under the race
// detector, which finds nothing there and makes it many times as long.
func OneGoroutine(t testing.TB) {
	t.Helper()
	if RaceDetector {
		t.Skip("it computes for long in one goroutine: not under the race detector")
	}
}

// Build builds a program of the module, whose root is given, into a folder: for
// the race detector where the tests run under it.
func Build(root, program, dir string) (path string, err error) {
	path = filepath.Join(dir, filepath.Base(program))
	args := []string{"build", "-o", path}
	if RaceDetector {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./"+program)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return path, nil
}
