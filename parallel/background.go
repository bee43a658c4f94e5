package parallel

import (
	"runtime"
	"time"
)

// processors is the pace of this process: one, since all background work of it
// takes from the same processors.
var processors = pace{clock: monotonic, sleep: time.Sleep, measure: measureProcessors, thread: threadTime, threads: map[int]time.Duration{}}

var started = time.Now()

func monotonic() time.Duration { return time.Since(started) }

// Background runs f as work that must not cost the serving path anything: while
// it runs, Yield rests for as long as it takes that the others find the
// processors free. It returns when f does, with f's panic if it has one.
//
// Calls may overlap. What f does between two calls of Yield is not held up, but
// the next rest is longer for it, if need be that before the next Background.
//
// On a machine with nothing else to do f takes a few hundredths of a second
// longer; on one that is fully busy it gets LeastShare of the processors.
// Outside of Background, such as at the start, and where nobody can tell what
// the processors do (systems other than Linux), nothing rests.
func Background(f func()) {
	processors.enter()
	defer processors.leave()
	f()
}

// Yield lets other goroutines have the processor, and rests if this is Background
// work which has had its share. All long work beside the serving path must call
// it every few hundred microseconds: Go would leave a goroutine alone for ten
// milliseconds, which queries must not wait. It costs some tens of nanoseconds.
func Yield() {
	switch {
	case !processors.runs():
		processors.turn()
	case !processors.brief.Load():
		runtime.Gosched()
	}
}
