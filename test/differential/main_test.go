package differential

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"gslb/test/bed"
)

// scratch is a folder for the whole run, gone afterwards.
var scratch string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gslb-differential-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	scratch = dir
	return m.Run()
}

// buildGSLB builds the program under test once.
var buildGSLB = sync.OnceValues(func() (string, error) { return bed.Build("../..", "cmd/gslb", scratch) })

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// start starts a server, which ends with the test; its output is shown when the
// test failed. ended is closed when it has ended, whatever the reason.
func start(t testing.TB, dir string, argv ...string) (ended chan struct{}) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := bed.StartGrouped(cmd); err != nil {
		t.Fatal(err)
	}
	ended = make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Errorf("%s did not end within a minute of SIGTERM", argv[0])
			_ = cmd.Process.Kill()
			<-ended
		}
		if out := log.Bytes(); t.Failed() && len(out) > 0 {
			t.Logf("output of %s:\n%s", argv[0], out[max(0, len(out)-1500):])
		}
		if bytes.Contains(log.Bytes(), []byte("WARNING: DATA RACE")) {
			t.Errorf("%s: data race:\n%s", argv[0], log.Bytes())
		}
	})
	return ended
}
