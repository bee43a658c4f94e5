package health

import "time"

// Status is everything that decides how one site is treated, with the evidence.
type Status struct {
	Site     string    `json:"site"`
	State    State     `json:"state"`              // the verdict, overrides included
	Draining bool      `json:"draining"`           // under a Drain override or in maintenance: available, but gives no new answers
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
	Utilization float64 `json:"utilization"`
	// Held is why a site that is up gets no new users yet, after it was down; "": it
	// does. HeldUntil is when that ends.
	Held      string    `json:"held,omitempty"`
	HeldUntil time.Time `json:"held_until,omitzero"`
	// Withheld is the share, 0 to 1, of its new users that should go elsewhere while
	// it starts slowly or an operator's order says so. It adds to Shed.
	Withheld float64 `json:"withheld,omitempty"`
	// Generations are the content generations that it serves, sorted; none: it does not say.
	Generations []string `json:"generations,omitempty"`
	// Elsewhere are the audiences for which the site is down, though not for all, and
	// why: see Input.Audience.
	Elsewhere map[string]string `json:"down_for,omitempty"`
	Why       string            `json:"why"`            // one sentence: what decided State
	Since     time.Time         `json:"since,omitzero"` // when State last changed, as this node saw it

	comeback comeback
}

// InService tells whether the site may be given to new users.
func (s Status) InService() bool { return s.State.Available() && !s.Draining && s.Held == "" }

// For is the status as it is for the users of an audience; "" is everybody else.
func (s Status) For(audience string) Status {
	if why, ok := s.Elsewhere[audience]; ok && audience != "" && s.State.Available() {
		s.State, s.Why = Down, why
	}
	return s
}

// Away is the share of its new users, 0 to 1, that should go elsewhere: what it
// sheds and what is withheld from it.
func (s Status) Away() float64 { return 1 - (1-s.Shed)*(1-s.Withheld) }

// States is the fleet's view of every site at one revision: an immutable value.
// The zero States knows nothing: every site is Unknown.
type States struct {
	Revision int64     `json:"revision"` // store revision it was computed from; 0 before the first
	Stale    bool      `json:"stale"`    // true while the store cannot be reached: these are the last known (fail static)
	At       time.Time `json:"at"`
	// Next is when they change though nothing comes in: a wait or a window ends, a
	// share takes its next step. Zero: never.
	Next  time.Time         `json:"-"`
	Sites map[string]Status `json:"sites"`
	// Releases are the content generations that users are to see, by steered name.
	Releases map[string]Release `json:"releases,omitempty"`
	// Times are the round-trip times of the live vantage points, sorted by their names. As
	// long as nothing about them changes it is the same slice.
	Times []Times `json:"times,omitempty"`

	// What the next evaluation goes on from; see partial.go.
	blind    map[string]bool     // vantage points that were discounted
	verdicts map[string]verdicts // of each vantage point, over all sites
	restless []string            // sites that something else than what is said of them changes
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
