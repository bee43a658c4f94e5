package test

import (
	"fmt"
	"strings"
	"time"
)

// mostTries is how often a fault is had where the machine does not let it be judged.
const mostTries = 3

// suffer lets the fleet have one fault and judges how it took it. What no machine can bring about
// however busy it is, an answer that fails or is of another site, is a fault of gslb's (fault). What it
// can, an answer of the site that is out or too many changes (doubt), is one unless the machine was seen to
// be too busy meanwhile: then it says nothing of gslb, and is had again. It gives "" where
// that was so each time.
func (f *faultFleet) suffer(fault fault) (found string) {
	f.t.Helper()
	for tries := 1; ; tries++ {
		f.begin()
		f.t.Logf("fault: %s", fault.name)
		found = fault.run(f)
		f.calm()
		f.judge()
		if len(f.faults)+len(f.doubts) == 0 {
			f.t.Logf("  %s: %s (%v in all)", fault.name, found, time.Since(f.began).Round(time.Millisecond))
			return found
		}
		why := f.starvation()
		all := strings.Join(append(f.faults, f.doubts...), "\n")
		if len(f.faults) > 0 || why == "" {
			f.t.Fatalf("%s: failed; what comes after would fail for it (the machine: %s):\n%s", fault.name, why, all)
		}
		if tries == mostTries {
			f.unjudged = append(f.unjudged, fmt.Sprintf("%s: %s; what was seen: %s", fault.name, why, f.doubts[0]))
			f.t.Logf("  %s: not judged, since the machine was too busy each time: %s\n%s", fault.name, why, all)
			return ""
		}
		f.t.Logf("  again, since the machine was too busy: %s (%d doubts, the first %s)", why, len(f.doubts), f.doubts[0])
	}
}

// begin begins a try: what was before is over.
func (f *faultFleet) begin() {
	f.alone, f.changes, f.slow, f.faults, f.doubts = map[*faultNode]bool{}, 2, "", nil, nil
	f.siteDied = false
	for _, n := range f.nodes {
		n.said = len(n.log.String())
		n.struck.Store(false)
	}
	f.dog.anew()
	f.began = time.Now() // the last: a question of before may have had less time
}

// fault notes what is a fault of gslb's on any machine.
func (f *faultFleet) fault(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

// doubt notes what is a fault of gslb's, unless the machine was too busy.
func (f *faultFleet) doubt(format string, args ...any) {
	f.doubts = append(f.doubts, fmt.Sprintf(format, args...))
}

// starvation says by what the machine is seen to have been too busy in this try; "": by nothing.
func (f *faultFleet) starvation() string {
	if f.slow != "" {
		return f.slow
	}
	for _, n := range f.nodes {
		log := n.log.String()
		if f.alone[n] || len(log) < n.said {
			continue
		}
		line := unanswered(log[n.said:], "kt", "lgu")
		if line == "" && f.siteDied { // while all are up a vote that is gone takes no site down
			line = leaseLost(log[n.said:])
		}
		if line != "" {
			return n.name + ": " + line
		}
	}
	return f.dog.stall(2 * f.tp.timeout)
}

// stays sees that the nodes have answered nothing but this since then, and for some time to come.
func (f *faultFleet) stays(since time.Time, site string, nodes ...*faultNode) {
	f.t.Helper()
	time.Sleep(300 * time.Millisecond)
	for _, n := range nodes {
		n.asked()
		for _, e := range n.asks.far() {
			if !e.at.After(since) || e.err == nil && e.got == site {
				continue
			}
			note := f.doubt
			if e.err != nil {
				note = f.fault
			}
			note("%s, %v after: %s %v, want %s", n.name, e.at.Sub(since), e.got, e.err, site)
		}
	}
}

// judge looks at all answers of this try: each is one, of a member of the rule;
// and a node changes its answer no more often than the sites' going and coming has it.
func (f *faultFleet) judge() {
	f.t.Helper()
	for _, n := range f.nodes {
		last, changes := "kt", 0
		for _, e := range n.asks.far() {
			switch {
			case e.at.Before(f.began):
			case e.err != nil:
				if !n.struck.Load() {
					f.fault("%s, %v after: %v", n.name, e.at.Sub(f.began), e.err)
				}
			case e.got != "kt" && e.got != "lgu":
				f.fault("%s, %v after: sent to %s", n.name, e.at.Sub(f.began), e.got)
			case e.got != last:
				last, changes = e.got, changes+1
			}
		}
		if changes > f.changes {
			f.doubt("%s changed its answer %d times", n.name, changes)
		}
	}
}
