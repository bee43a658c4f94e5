package bed

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// NoGoroutineLeft runs a package's tests for its TestMain, and gives the exit
// code: a failure with all stacks on stderr if goroutines are left after them.
func NoGoroutineLeft(m *testing.M) int {
	before := runtime.NumGoroutine()
	code := m.Run()
	if code == 0 && !settles(before) {
		buf := make([]byte, 1<<20)
		os.Stderr.Write(buf[:runtime.Stack(buf, true)])
		return 1
	}
	return code
}

// settles waits until at most limit goroutines, and a few of the runtime's own, are left.
func settles(limit int) bool {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if runtime.NumGoroutine() <= limit+2 {
			return true
		}
	}
	return false
}
