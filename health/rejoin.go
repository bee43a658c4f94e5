package health

import (
	"fmt"
	"math"
	"time"
)

// Rejoin is how a site that was down gets its users back. The zero Rejoin: all at
// once, as soon as it is up.
type Rejoin struct {
	// Wait is how long the site must have been up before it gets new users.
	Wait time.Duration
	// SlowStart is how long, after Wait, its share of them grows from little to all.
	SlowStart time.Duration
	// FlapLimit is how many falls, of which each counts half after a FlapHalf, hold
	// the site out of service until half as many are left; 0: any number is allowed.
	// It is the penalty of route flap damping (RFC 2439, section 4.2).
	FlapLimit float64
	FlapHalf  time.Duration
	// ByHand leaves the site drained, once it has been down, until an operator takes
	// that back. Who keeps the overrides sees to it; Evaluate does not look at it.
	ByHand bool
}

// rampSteps is how many steps a share goes in from nothing to all: each has every
// node filter its plans anew.
const rampSteps = 20

// comeback is what is remembered of a site's falls and returns.
type comeback struct {
	back     time.Time // since when it is up after it was down; zero: it has all that it should
	falls    float64   // as they counted at fallsAt
	fallsAt  time.Time
	flapping bool // held for its falls
}

// rejoin decides whether a site that is up must wait, or takes a part of its
// users only. It returns when that changes though nothing comes in.
//
//	state             falls that count        up for              -> held       share
//	Down              -                       -                      no         as steer does for down
//	forced up         any                     any                    no         all
//	other             reached the limit, and  any                    flapping   -
//	                  more than half is left
//	other             fewer                   less than Wait         failback   -
//	other             fewer                   Wait + less than       no         grows in 20 steps
//	                                          SlowStart
//	other             fewer                   more                   no         all
//
// A site that was never seen down by this process does not wait: after a start
// nobody knows better. A fall by an operator's order does not count.
func (r Rejoin) rejoin(prev Status, known bool, st *Status, now time.Time) (next time.Time) {
	c := prev.comeback
	defer func() { st.comeback = c }()
	forced := st.Override != nil && (st.Override.Kind == ForceDown || st.Override.Kind == ForceUp)
	switch {
	case st.State == Down:
		c.back = time.Time{}
		if known && prev.State != Down && !forced && r.FlapLimit > 0 {
			c.falls, c.fallsAt = r.left(c, now)+1, now
			c.flapping = c.flapping || c.falls >= r.FlapLimit
		}
		return time.Time{}
	case forced:
		c.back, c.flapping = time.Time{}, false
		return time.Time{}
	case known && prev.State == Down:
		c.back = now
	}
	if c.flapping && r.FlapLimit > 0 {
		until := c.fallsAt.Add(time.Duration(math.Log2(c.falls/(r.FlapLimit/2)) * float64(r.FlapHalf)))
		if now.Before(until) {
			st.Held, st.HeldUntil = fmt.Sprintf("flapping: went down too often (%.3g of %.3g falls that count)", c.falls, r.FlapLimit), until
			return until
		}
		c.flapping, c.back = false, now.Add(-r.Wait)
	}
	if c.back.IsZero() {
		return time.Time{}
	}
	ready := c.back.Add(r.Wait)
	if now.Before(ready) {
		st.Held, st.HeldUntil = fmt.Sprintf("failback: must be up for %v first", r.Wait), ready
		return ready
	}
	share, next := ramp(0, 1, ready, r.SlowStart, now)
	if next.IsZero() {
		c.back = time.Time{}
	}
	st.Withheld = 1 - share
	return next
}

// left is how much of the falls still counts.
func (r Rejoin) left(c comeback, now time.Time) float64 {
	if c.falls == 0 || r.FlapHalf <= 0 {
		return 0
	}
	return c.falls * math.Exp2(-now.Sub(c.fallsAt).Seconds()/r.FlapHalf.Seconds())
}

// ramp is a share on its way from one value to another, in steps of a twentieth of
// the way, the first of them at once; next is when the next step is due, zero: never.
func ramp(from, to float64, begin time.Time, over time.Duration, now time.Time) (share float64, next time.Time) {
	if over <= 0 || !now.Before(begin.Add(over)) {
		return to, time.Time{}
	}
	step := over / rampSteps
	if step <= 0 {
		return to, time.Time{}
	}
	done := max(now.Sub(begin), 0)/step + 1
	if done >= rampSteps {
		return to, time.Time{}
	}
	return from + (to-from)*float64(done)/rampSteps, begin.Add(done * step)
}
