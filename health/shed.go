package health

import (
	"math"
	"time"
)

// The shed controller's constants. They were chosen on the simulation in
// shed_test.go, for a lag of a 30 s TTL: tell what they do there when changing one.
const (
	shedTarget = 0.90 // utilization it steers to: a tenth is left for what it cannot foresee
	shedStart  = 0.95 // a site that sheds nothing begins above this …
	shedBand   = 0.02 // … and one that sheds is left alone this near to the target
	shedMax    = 0.95 // a site always keeps some users, or nobody would see that it recovered

	shedSmooth = 10 * time.Second // time constant of the smoothed utilization
	shedPace   = 60 * time.Second // in which an error would be corrected e-fold
	shedLead   = 30 * time.Second // how far ahead the load's own trend is believed: about one TTL
	shedStep   = 10 * time.Second // a gap between reports counts as this much at most

	shedRise = 0.03  // step limits, in share per second: a full site is relieved quickly …
	shedFall = 0.005 // … and gets its users back slowly: 0.5 takes at least 100 s
)

// steerShed returns the smoothed utilization and the share of new users that should
// go elsewhere, one step on from prev.
//
// A share s that is shed leaves the site 1-s of what would come, so its load is
// in proportion to 1-s, whatever the demand. Hence the controller works on the
// ratio of utilization to target and scales 1-s by it: one gain fits every
// demand. Two things lag: resolvers give the old answer for a TTL, and
// connections live on. So it goes slowly, looks at where the load is heading, and
// never pushes while the load already moves the right way fast enough.
//
//	in service  telemetry            shed   utilization u (smoothed)    -> shed
//	any         no live report       any    any                            kept: frozen on old telemetry
//	any         no capacity known    any    any                            0: nothing to compare with
//	no          any                  any    any                            kept: the load of a site that gets nobody says nothing
//	yes         no newer report      any    any                            kept: one step for each report
//	yes         newer                0      u <= start                     0
//	yes         newer                any    above target+band              raised, by the step limit at most
//	yes         newer                > 0    within the band                kept
//	yes         newer                > 0    below target-band              lowered, by the (smaller) step limit at most
//
// Time is that of the reports: see telemetryTime. A balancer whose load stays as
// it is must renew its report now and then (each 10 s does well), or its site's shed
// stays where it is too.
func steerShed(prev, now Status) (utilization, shed float64) {
	utilization, shed = sane(prev.Utilization), min(sane(prev.Shed), shedMax)
	if len(now.Reports) == 0 {
		return utilization, shed
	}
	if now.Capacity == 0 {
		return 0, 0
	}
	measured := min(now.Load/now.Capacity, 1000)
	if prev.Capacity == 0 || len(prev.Reports) == 0 {
		return measured, shed // the first measurement: nothing to smooth it with, no step yet
	}
	dt := telemetryTime(prev.Reports, now.Reports)
	if dt == 0 {
		return utilization, shed
	}
	before := utilization
	utilization += (measured - utilization) * -math.Expm1(-dt.Seconds()/shedSmooth.Seconds())
	if !now.InService() {
		return utilization, shed
	}
	return utilization, stepShed(shed, before, utilization, dt)
}

// stepShed moves shed for a utilization that went from before to u in dt.
func stepShed(shed, before, u float64, dt time.Duration) float64 {
	high, low := shedTarget+shedBand, shedTarget-shedBand
	if shed == 0 {
		high = shedStart
	}
	if u >= low && u <= high || shed == 0 && u < low {
		return shed
	}
	// In logarithms the site is linear: ln u = ln demand + ln(1-shed).
	// An idle site's logarithm has no bound, so what is far below counts as a half.
	const floor = shedTarget / 2
	u, before = max(u, floor), max(before, floor)
	distance := math.Log(u / shedTarget)
	trend := math.Log(u / before)
	move := (distance*dt.Seconds() + trend*shedLead.Seconds()) / shedPace.Seconds()
	next := 1 - (1-shed)*math.Exp(-move)
	if u > shedTarget {
		next = min(max(next, shed), shed+shedRise*dt.Seconds())
	} else {
		next = max(min(next, shed), shed-shedFall*dt.Seconds())
	}
	return min(max(next, 0), shedMax)
}

// telemetryTime is how much time the reports are on from those before: the mean,
// over the balancers that spoke both times, of how far each one's own clock
// went. So clocks need not agree; n balancers that report each second make n
// steps of 1/n second; a report that came before makes none; and a clock that
// jumps counts for little.
func telemetryTime(before, now []Report) time.Duration {
	at := make(map[string]time.Time, len(before))
	for _, r := range before {
		at[r.Node] = r.At
	}
	var sum time.Duration
	n := 0
	for _, r := range now {
		if t, ok := at[r.Node]; ok {
			sum += min(max(r.At.Sub(t), 0), shedStep)
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return sum / time.Duration(n)
}
