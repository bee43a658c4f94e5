// Package steady is the time of day on a machine whose clock may be set wrong.
//
// A clock that is set (by a broken time server, a person, a paused virtual machine)
// jumps; the monotonic clock beside it does not. So a process knows that the clock has
// jumped, though not which of the two times is right. What follows from a wrong time,
// orders that end, windows that open, signatures that nobody takes, is worse than
// what follows from a late one. So after a jump time goes on as it did, for Settle:
// a clock that is put right meanwhile has done nothing. One that stays is then believed.
//
//	the clock, against the monotonic one   time
//	within Tolerance                       the clock's
//	off, and before time was Plausible     the clock's, at once: a machine that had no battery
//	off, for less than Settle              as before the jump
//	off by the same, for Settle            the clock's
//
// It knows nothing of what is done with the time.
package steady

import (
	"sync"
	"time"
)

const (
	// Tolerance is how far a clock may be set at once and is believed: a step of NTP.
	Tolerance = 10 * time.Second
	// Settle is how long a clock that has jumped must stay where it is to be believed.
	Settle = 10 * time.Minute
)

// Plausible is a time that has been: a clock before it is not set.
var Plausible = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Jump is how a clock stands that has jumped.
type Jump struct {
	By    time.Duration // forwards; negative: back
	Until time.Time     // when it is believed, in the time before the jump
}

// clock is what is known of a clock. Durations of the wall clock are since 1970.
type clock struct {
	wall, mono time.Duration // of both clocks when the one was believed last
	began      bool
	by         time.Duration // how far it is off; 0: it is not
	jumped     time.Duration // of the monotonic clock, when it jumped
}

// read takes in what both clocks say. It gives how far the wall clock is off the time,
// 0: it is believed, and for how much longer it is not.
func (c *clock) read(wall, mono time.Duration) (off, left time.Duration) {
	expected := c.wall + mono - c.mono
	off = wall - expected
	switch {
	case !c.began, off.Abs() <= Tolerance, expected < time.Duration(Plausible.UnixNano()):
		*c = clock{wall: wall, mono: mono, began: true}
		return 0, 0
	case c.by == 0 || (off-c.by).Abs() > Tolerance:
		c.by, c.jumped = off, mono
	case mono-c.jumped >= Settle:
		*c = clock{wall: wall, mono: mono, began: true}
		return 0, 0
	}
	return off, Settle - (mono - c.jumped)
}

// machine is this machine's clock, of which there is one.
var machine struct {
	sync.Mutex
	clock
	believed time.Time // what it said when it was believed last
}

// Now is the time. Like that of time.Now it has the monotonic time with it. It is
// not for the way of a query: it takes a lock.
func Now() time.Time {
	now, _ := look()
	return now
}

// Jumped tells whether the clock has jumped and is not believed yet.
func Jumped() (Jump, bool) {
	_, j := look()
	return j, j.By != 0
}

func look() (time.Time, Jump) {
	m := &machine
	m.Lock()
	defer m.Unlock()
	now := time.Now()
	if m.believed.IsZero() {
		m.believed = now
	}
	run := now.Sub(m.believed) // of the monotonic clock, since both have it
	off, left := m.read(time.Duration(now.UnixNano()), m.mono+run)
	if off == 0 {
		m.believed = now
		return now, Jump{}
	}
	now = m.believed.Add(run)
	return now, Jump{By: off.Round(time.Second), Until: now.Add(left)}
}
