package test

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestDemoInterruptedAtStart: Ctrl-C at any moment of the start ends all and
// leaves nothing behind.
func TestDemoInterruptedAtStart(t *testing.T) {
	needLong(t)
	t.Run("at", func(t *testing.T) { // returns when all are through
		for _, after := range []time.Duration{50, 150, 300, 500, 700, 900, 1200, 1600} {
			after *= time.Millisecond
			t.Run(after.String(), func(t *testing.T) {
				t.Parallel()
				d := newDemonstration(t)
				p := start(t, "demo", nil, d.argv...)
				p.says("Starting a name server")
				select { // the moment is the point of the test: whatever is under way then
				case <-p.done:
					t.Fatalf("ended by itself:\n%s", p.log.String())
				case <-time.After(after):
				}
				p.Signal(os.Interrupt)
				select {
				case <-p.done:
				case <-time.After(stopTime):
					t.Fatalf("not ended %v after Ctrl-C", stopTime)
				}
				if code := p.cmd.ProcessState.ExitCode(); code != 0 || strings.Contains(p.log.String(), "panic") {
					t.Errorf("exit code %d\n%s", code, p.log.String())
				}
				d.leavesNoFiles(t)
			})
		}
	})
	if left := processes(binary(t)); len(left) > 0 {
		t.Errorf("processes are left behind: %v", left)
	}
}
