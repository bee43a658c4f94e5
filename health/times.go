package health

import (
	"fmt"
	"math"
	"time"
)

// Times are the round-trip times from one vantage point to the sites that it probes,
// as it keeps them in etcd under its lease.
type Times struct {
	Vantage string    `json:"vantage"` // the checker's node name
	At      time.Time `json:"at"`      // when they were written, by its clock; for display only
	// Location is where it stands, in degrees of latitude and longitude; nil: it doesn't
	// say, and stands for no client.
	Location *[2]float64 `json:"location,omitempty"`
	// RTT are milliseconds, by site. A site that it has not reached lately is not among them.
	RTT map[string]float64 `json:"rtt_ms"`
}

// maxRTT is more than any probe takes, in milliseconds.
const maxRTT = 600_000

// Fault tells what is wrong with t, which may come from anywhere; nil: nothing.
func (t *Times) Fault() error {
	if l := t.Location; l != nil && !(math.Abs(l[0]) <= 90 && math.Abs(l[1]) <= 180) {
		return fmt.Errorf("location %v, %v: must be a latitude of -90 to 90 and a longitude of -180 to 180 degrees", l[0], l[1])
	}
	for site, ms := range t.RTT {
		if !(ms >= 0 && ms <= maxRTT) {
			return fmt.Errorf("rtt_ms of site %q is %v: must be 0 to %d milliseconds", site, ms, maxRTT)
		}
	}
	return nil
}
