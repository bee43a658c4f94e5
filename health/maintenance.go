package health

import (
	"slices"
	"time"
)

// Window is a time in which a site is to be left alone: once, or every week.
type Window struct {
	From time.Time // once; zero: weekly
	// Days, Hour and Minute are when it begins each week, by the clock of Zone.
	Days         []time.Weekday
	Hour, Minute int
	Zone         *time.Location
	For          time.Duration // how long it is; at most a week where it is weekly
	Why          string        // for people
}

// MaxWindow bounds a weekly window.
const MaxWindow = 7 * 24 * time.Hour

// at tells whether the window is open at now, and when that changes; zero: never.
// What a change of the clocks leaves out or has twice is as time.Date has it.
func (w *Window) at(now time.Time) (open bool, change time.Time) {
	if !w.From.IsZero() {
		end := w.From.Add(w.For)
		switch {
		case now.Before(w.From):
			return false, w.From
		case now.Before(end):
			return true, end
		}
		return false, time.Time{}
	}
	local := now.In(w.Zone)
	for day := -7; day <= 7; day++ {
		begin := time.Date(local.Year(), local.Month(), local.Day()+day, w.Hour, w.Minute, 0, 0, w.Zone)
		if !slices.Contains(w.Days, begin.Weekday()) {
			continue
		}
		end := begin.Add(w.For)
		switch {
		case now.Before(begin):
			return false, begin
		case now.Before(end):
			return true, end
		}
	}
	return false, time.Time{}
}

// openWindow is the first of the windows that is open, and when the next change
// of any is due.
func openWindow(windows []Window, now time.Time) (open *Window, until, next time.Time) {
	for i := range windows {
		is, change := windows[i].at(now)
		if is && open == nil {
			open, until = &windows[i], change
		}
		next = Sooner(next, change)
	}
	return open, until, next
}

// Sooner is the earlier of two moments, of which zero is never.
func Sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
