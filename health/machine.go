package health

import "time"

const (
	// maxPenalty bounds how far flapping stretches the way back up: to
	// rise << maxPenalty successes in a row (16 times rise).
	maxPenalty = 4
	// settleFactor times the successes that the last rise needed, in a row, and a
	// fall before is forgiven.
	settleFactor = 20
)

// Machine turns single results of a check into a verdict, so that one lost
// packet does not move users and one lucky answer does not bring them back.
//
// "In a row" is meant strictly: a result of the other kind starts the count anew.
//
//	State    result   in a row             -> State
//	Unknown  success  1                    -> Up         (a start is quick: nobody knows better)
//	Unknown  failure  fewer than fall         Unknown    (unknown is never down)
//	Unknown  failure  fall                 -> Down
//	Up       success  any                     Up
//	Up       failure  fewer than fall         Up
//	Up       failure  fall                 -> Down
//	Down     failure  any                     Down
//	Down     success  fewer than need         Down
//	Down     success  need                 -> Up
//
// A success may be degraded: the target answers, but slowly or partly. What is
// "Up" above is Degraded then, by the last of the successes. Between the two:
//
//	Up        degraded  fewer than fall       Up
//	Up        degraded  fall              ->  Degraded
//	Degraded  healthy   fewer than rise       Degraded
//	Degraded  healthy   rise              ->  Up
//
// need is rise at first. A machine that falls again before it has settled (20
// times need successes in a row) is flapping: each such fall doubles need, up to
// 16 times rise, so that the hold-down grows with the flaps. Settled, need is
// rise again. After Recall need is 1 until fall failures in a row.
//
// The counts know no clock: the hold-down is in results, thus in intervals of
// the check. A Machine is not safe for concurrent use. The zero Machine has a
// rise and a fall of 1.
type Machine struct {
	rise, fall int

	state  State
	since  time.Time
	detail string

	ok      bool // what the last result was; meaningless while streak is 0
	streak  int  // results in a row that were ok
	graded  int  // successes in a row of the other grade than state has, Up or Degraded
	fallen  bool // has been Down and not settled since
	penalty int  // need is rise << penalty
	// recalled: Down comes from before a restart and no result has borne it out.
	recalled bool
}

// NewMachine returns a Machine in state Unknown that comes up after rise
// successes and goes down after fall failures in a row. Less than 1 means 1.
func NewMachine(rise, fall int) *Machine {
	return &Machine{rise: max(rise, 1), fall: max(fall, 1)}
}

// Observe takes the next result, Up, Degraded or Down, what was seen, and when.
// It returns the verdict and whether this result changed it.
func (m *Machine) Observe(result State, detail string, now time.Time) (state State, changed bool) {
	ok := result != Down
	if m.streak == 0 || ok != m.ok {
		m.ok, m.streak = ok, 0
	}
	m.streak++
	m.detail = detail
	switch {
	case ok && (m.state == Unknown || m.state == Down && m.streak >= m.need()):
		m.enter(result, now)
		return m.state, true
	case !ok && m.state != Down && m.streak >= max(m.fall, 1):
		if m.fallen {
			m.penalty = min(m.penalty+1, maxPenalty)
		}
		m.fallen = true
		m.enter(Down, now)
		return m.state, true
	case !ok && m.streak >= max(m.fall, 1):
		m.recalled = false
	case ok && m.state != Down && m.streak >= settleFactor*m.need():
		m.fallen, m.penalty = false, 0
		m.streak = settleFactor * m.need() // a bound: the count need not grow for years
	}
	return m.grade(result, now)
}

// grade moves between Up and Degraded.
func (m *Machine) grade(result State, now time.Time) (state State, changed bool) {
	if m.state != Up && m.state != Degraded || result == Down || result == m.state {
		m.graded = 0
		return m.state, false
	}
	m.graded++
	need := max(m.rise, 1)
	if result == Degraded {
		need = max(m.fall, 1)
	}
	if m.graded < need {
		return m.state, false
	}
	m.enter(result, now)
	return m.state, true
}

// Declare sets the verdict at once: the target itself has said how it is, so
// there is nothing to be sure of by asking again. It tells whether that changed
// the verdict.
func (m *Machine) Declare(state State, detail string, now time.Time) (changed bool) {
	if m.detail = detail; m.state == state {
		m.recalled = false
		return false
	}
	m.Restore(state, now, detail)
	if state == Unknown {
		m.since = time.Time{}
	}
	return true
}

// Restore sets the verdict to one that was reached before, by another Machine
// or another run, so that a changed check or a restart does not forget that its
// target was down. The next results are counted from zero.
func (m *Machine) Restore(state State, since time.Time, detail string) {
	m.state, m.since, m.detail = state, since, detail
	m.streak, m.graded, m.penalty, m.fallen, m.recalled = 0, 0, 0, state == Down, false
}

// Recall sets the verdict to Down, as it was before a restart: better than
// Unknown, which would send users to a dead target until fall failures, yet no more
// than a start. As there, the first success is enough for Up.
func (m *Machine) Recall(since time.Time, detail string) {
	m.Restore(Down, since, detail)
	m.fallen, m.recalled = false, true
}

// State is the verdict so far.
func (m *Machine) State() State { return m.state }

// Since is when the verdict began; zero while it is Unknown.
func (m *Machine) Since() time.Time { return m.since }

// Detail is what the last result said.
func (m *Machine) Detail() string { return m.detail }

// need is how many successes in a row bring the machine up from Down.
func (m *Machine) need() int {
	if m.recalled {
		return 1
	}
	return max(m.rise, 1) << m.penalty
}

func (m *Machine) enter(s State, now time.Time) {
	m.state, m.since, m.recalled, m.graded = s, now, false, 0
}
