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
	for _, after := range []time.Duration{50, 150, 300, 500, 700, 900, 1200, 1600} {
		d := newDemonstration(t)
		p := start(t, "demo", nil, d.argv...)
		p.says("Starting a name server")
		select { // the moment is the point of the test: whatever is under way then
		case <-p.done:
			t.Fatalf("ended by itself:\n%s", p.log.String())
		case <-time.After(after * time.Millisecond):
		}
		p.Signal(os.Interrupt)
		select {
		case <-p.done:
		case <-time.After(stopTime):
			t.Fatalf("not ended %v after Ctrl-C at %v", stopTime, after*time.Millisecond)
		}
		if code := p.cmd.ProcessState.ExitCode(); code != 0 || strings.Contains(p.log.String(), "panic") {
			t.Errorf("Ctrl-C at %v: exit code %d\n%s", after*time.Millisecond, code, p.log.String())
		}
		d.leavesNothing(t)
	}
}
