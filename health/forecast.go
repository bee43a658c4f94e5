package health

import "time"

// NextShed is one step of the shed controller (see steerShed), for those who ask where
// it would lead: the share that a site in service sheds next, whose utilization went
// from before to now within dt.
func NextShed(shed, before, now float64, dt time.Duration) float64 {
	return stepShed(min(sane(shed), shedMax), sane(before), sane(now), max(dt, 0))
}
