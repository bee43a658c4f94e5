package config

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // windows name their time zone, also where the system has none

	"gslb/health"
)

// Words of Site.Failback, and the default of Site.FlapHalf.
const (
	failbackNow     = "now"
	failbackManual  = "manual"
	defaultFlapHalf = 10 * time.Minute
	mostReturn      = 7 * 24 * time.Hour
)

// Window is one [[site.maintenance]]: once, with From, or each week, with Days and At.
type Window struct {
	From string        `toml:"from"` // RFC 3339
	Days []string      `toml:"days"` // "Mon" to "Sun"
	At   string        `toml:"at"`   // "02:00"
	Zone string        `toml:"zone"` // of the IANA time zone database; default UTC
	For  time.Duration `toml:"for"`
	Why  string        `toml:"why"`
}

// Rejoin is how the site comes back after it was down.
func (s *Site) Rejoin() health.Rejoin {
	wait, _ := parseFailback(s.Failback) // checked
	return health.Rejoin{Wait: wait, SlowStart: s.SlowStart, FlapLimit: s.FlapLimit, FlapHalf: s.FlapHalf, ByHand: s.Failback == failbackManual}
}

func parseFailback(s string) (time.Duration, error) {
	if s == failbackNow || s == failbackManual {
		return 0, nil
	}
	d, err := ParseDuration(s)
	if err != nil || d < 0 || d > mostReturn {
		return 0, fmt.Errorf(`%q: must be "now", "manual", or how long the site must have been up, such as "10m" (at most %s)`, s, showDuration(mostReturn))
	}
	return d, nil
}

// Windows are the times of maintenance.
func (s *Site) Windows() []health.Window {
	all := make([]health.Window, 0, len(s.Maintenance))
	for i := range s.Maintenance {
		if w, ok := s.Maintenance[i].read(func(string, string, ...any) {}); ok {
			all = append(all, w)
		}
	}
	return all
}

// checkReturn looks at what is said of the site's failures and of its maintenance.
func (s Site) checkReturn(r *report, path string) {
	if _, err := parseFailback(s.Failback); err != nil {
		r.bad(path+".failback", "%v", err)
	}
	if s.SlowStart < 0 || s.SlowStart > mostReturn {
		r.bad(path+".slow_start", "%v: must be 0s to %s", s.SlowStart, showDuration(mostReturn))
	}
	if s.FlapLimit < 0 || s.FlapLimit > 0 && s.FlapLimit < 2 || s.FlapLimit > 100 {
		r.bad(path+".flap_limit", "%v: must be 2 to 100 falls, or 0 for any number", s.FlapLimit)
	}
	if s.FlapHalf < time.Second || s.FlapHalf > mostReturn {
		r.bad(path+".flap_half", "%v: must be 1s to %s", s.FlapHalf, showDuration(mostReturn))
	}
	for i := range s.Maintenance {
		at := indexPath(path+".maintenance", i)
		w, ok := s.Maintenance[i].read(func(key, format string, args ...any) {
			if key != "" {
				key = "." + key
			}
			r.bad(at+key, format, args...)
		})
		if ok && !w.From.IsZero() && time.Now().After(w.From.Add(w.For)) {
			r.warn(at, "is over: it ended at %s", w.From.Add(w.For).Format(time.RFC3339))
		}
	}
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// read gives the window; not ok after it has called bad for each fault, with the key it is in.
func (w *Window) read(bad func(key, format string, args ...any)) (out health.Window, ok bool) {
	ok = true
	fault := func(key, format string, args ...any) {
		ok = false
		bad(key, format, args...)
	}
	out = health.Window{For: w.For, Why: w.Why, Zone: time.UTC}
	weekly := len(w.Days) > 0 || w.At != ""
	switch {
	case w.From != "" && weekly:
		fault("from", "a window is either once, with from, or weekly, with days and at")
	case w.From != "":
		var err error
		if out.From, err = time.Parse(time.RFC3339, w.From); err != nil {
			fault("from", `%q: must be a moment such as "2026-12-01T02:00:00+09:00" (RFC 3339)`, w.From)
		}
	case !weekly:
		fault("", "must say when: from, or days and at")
	default:
		out.Days = w.weekdays(fault)
		clock, err := time.Parse("15:04", w.At)
		if err != nil {
			fault("at", `%q: must be a time of day such as "02:00"`, w.At)
		}
		out.Hour, out.Minute = clock.Hour(), clock.Minute()
	}
	if w.Zone != "" {
		zone, err := time.LoadLocation(w.Zone)
		if err != nil || w.Zone == "Local" {
			fault("zone", `%q: is no time zone: must be one such as "Asia/Seoul" or "UTC"`, w.Zone)
		} else {
			out.Zone = zone
		}
	}
	switch {
	case w.For <= 0:
		fault("for", `must say how long, such as "2h"`)
	case weekly && w.For > health.MaxWindow:
		fault("for", "%v: must be at most a week, where it comes each week", w.For)
	}
	return out, ok
}

func (w *Window) weekdays(fault func(key, format string, args ...any)) (days []time.Weekday) {
	if len(w.Days) == 0 {
		fault("days", `must list days of the week, such as ["Sat", "Sun"]`)
	}
next:
	for i, day := range w.Days {
		for n, name := range weekdays {
			if strings.EqualFold(day, name) {
				days = append(days, time.Weekday(n))
				continue next
			}
		}
		fault(indexPath("days", i), "%q: must be one of Mon, Tue, Wed, Thu, Fri, Sat, Sun", day)
	}
	return days
}
