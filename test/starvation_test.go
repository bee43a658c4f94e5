package test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A machine that has too much else to do brings about what looks like a fault of gslb: probes that
// have no answer in time, leases that run out. What tells one from the other stands here.

// noAnswer is how a probe's detail says that its time was over. What is dead in these tests
// refuses the connection, so that no probe of a machine that has time meets its time-out.
const noAnswer = "timeout after"

// unanswered is the line of a node's log that says that a site, one of these if any are given, is
// down for probes that had no answer in time; "": none does.
func unanswered(log string, of ...string) string {
	for line := range strings.Lines(log) {
		_, site, changed := strings.Cut(line, `msg="site changed" site=`)
		name, why, _ := strings.Cut(site, " ")
		if changed && strings.Contains(why, "state=down") && strings.Contains(why, noAnswer) && (len(of) == 0 || slices.Contains(of, name)) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// busy tells whether the node took a site for down since probes had no answer in time. That its users were
// sent elsewhere is then what they should be.
func (n *node) busy() bool {
	n.t.Helper()
	if n.starved == "" {
		if n.starved = unanswered(n.log.String()); n.starved != "" {
			n.t.Logf("the machine was too busy for %s: %s", n.name, n.starved)
		}
	}
	return n.starved != ""
}

// leaseLost is the line of a node's log that says that its votes were gone for a while, since
// it could not renew its lease for all the time that this lasts; "": none does.
func leaseLost(log string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "lease lost, making a new one") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// watchdog notes for how long this process did not get to run when it was to.
type watchdog struct{ worst atomic.Int64 } // nanoseconds

func startWatchdog(t testing.TB) *watchdog {
	const every = 50 * time.Millisecond
	w, stop, done := &watchdog{}, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTimer(every)
		for last := time.Now(); ; tick.Reset(every) {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			now := time.Now()
			if late := now.Sub(last) - every; int64(late) > w.worst.Load() {
				w.worst.Store(int64(late))
			}
			last = now
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return w
}

// anew forgets what was.
func (w *watchdog) anew() { w.worst.Store(0) }

// stall says how long this process stood still, where it was at least so long; "": it was not.
func (w *watchdog) stall(least time.Duration) string {
	if worst := time.Duration(w.worst.Load()); worst >= least {
		return fmt.Sprintf("this process itself stood still for %v", worst.Round(time.Millisecond))
	}
	return ""
}
