package health

import "time"

// Status is everything that decides how one site is treated, with the evidence.
type Status struct {
	Site     string    `json:"site"`
	State    State     `json:"state"`              // the verdict, overrides included
	Draining bool      `json:"draining"`           // under a Drain override: available, but gives no new answers
	Votes    []Vote    `json:"votes,omitempty"`    // of live vantage points, sorted by vantage
	Reports  []Report  `json:"reports,omitempty"`  // of live balancers, sorted by node
	Override *Override `json:"override,omitempty"` // in force, or nil
	// Shed is the share of new users, 0 to 1, that should go elsewhere because
	// the site is near or above its capacity. 0: take all.
	Shed float64 `json:"shed"`
	// Load is the sum over Reports, Capacity too, unless a balancer states none:
	// then it is the site's configured capacity. 0 capacity: not known.
	Load     float64 `json:"load"`
	Capacity float64 `json:"capacity"`
	// Utilization is Load/Capacity, smoothed: what Shed is steered by.
	Utilization float64   `json:"utilization"`
	Why         string    `json:"why"`            // one sentence: what decided State
	Since       time.Time `json:"since,omitzero"` // when State last changed, as this node saw it
}

// InService tells whether the site may be given to new users.
func (s Status) InService() bool { return s.State.Available() && !s.Draining }

// States is the fleet's view of every site at one revision: an immutable value.
// The zero States knows nothing: every site is Unknown.
type States struct {
	Revision int64             `json:"revision"` // store revision it was computed from; 0 before the first
	Stale    bool              `json:"stale"`    // true while the store cannot be reached: these are the last known (fail static)
	At       time.Time         `json:"at"`
	Sites    map[string]Status `json:"sites"`
}

// Site returns the status of the named site; a site that has none is Unknown.
func (s *States) Site(name string) Status {
	if s != nil {
		if st, ok := s.Sites[name]; ok {
			return st
		}
	}
	return Status{Site: name, Why: "no vantage point has voted yet"}
}
