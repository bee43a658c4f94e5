package kernel

import (
	"testing"
	"time"
)

// A connect that is under way for a second is told of once; one that has ended, or
// began anew, is not.
func TestAttempts(t *testing.T) {
	var a Attempts[string]
	at := time.Now()
	count := func(after time.Duration, under ...string) (late string) {
		at = at.Add(after)
		a.Begin(at)
		for _, key := range under {
			if a.Overdue(key) {
				late += key
			}
		}
		return late
	}
	for i, step := range []struct {
		after time.Duration
		under []string
		want  string
	}{
		{0, []string{"a", "b"}, ""},
		{Overdue / 2, []string{"a", "b", "c"}, ""},
		{Overdue / 2, []string{"a", "c"}, "a"}, // b was answered in time
		{Overdue / 2, []string{"a", "b", "c"}, "c"},
		{Overdue / 2, []string{"a", "b", "c"}, ""},
		{Overdue / 2, []string{"b"}, "b"},
		{Overdue, []string{"a"}, ""}, // it had ended
		{Overdue, []string{"a"}, "a"},
	} {
		if got := count(step.after, step.under...); got != step.want {
			t.Errorf("count %d: %q overdue, want %q", i, got, step.want)
		}
	}
	// A flood is not remembered whole, and what is remembered stays so.
	var many Attempts[int]
	many.Begin(at)
	for i := range 3 * attemptsMost {
		many.Overdue(i)
	}
	many.Begin(at.Add(Overdue))
	late := 0
	for i := range 3 * attemptsMost {
		if many.Overdue(i) {
			late++
		}
	}
	if late != attemptsMost {
		t.Errorf("%d of a flood are overdue, want %d", late, attemptsMost)
	}
}
