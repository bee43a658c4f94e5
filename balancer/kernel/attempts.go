package kernel

import "time"

// Overdue is how long a server may leave a connect without an answer.
const Overdue = time.Second

// attemptsMost bounds what is remembered of connects: a flood of them is not looked at whole.
const attemptsMost = 8192

// Attempts finds the connects that look as if they had failed. Whoever counts tells it
// of all that are under way, each time; K is a connect's name. The zero Attempts is ready.
type Attempts[K comparable] struct {
	now         time.Time
	seen, began map[K]attempt // in this count, and in the one before
}

type attempt struct {
	since time.Time // when it was seen first
	told  bool
}

// Begin begins a count, and tells how long ago the one before was: 0 for the first.
func (a *Attempts[K]) Begin(now time.Time) (since time.Duration) {
	if !a.now.IsZero() {
		since = now.Sub(a.now)
	}
	a.now, a.began, a.seen = now, a.seen, make(map[K]attempt, len(a.seen))
	return since
}

// Overdue takes in that a connect is under way, and tells, once, that it has been so for too long.
func (a *Attempts[K]) Overdue(key K) bool {
	one, known := a.began[key]
	if !known {
		if len(a.seen) >= attemptsMost {
			return false
		}
		one.since = a.now
	}
	late := !one.told && a.now.Sub(one.since) >= Overdue
	one.told = one.told || late
	a.seen[key] = one
	return late
}
