package probe

import (
	"time"

	"gslb/health"
)

// Seen is what a probe that reached its target learnt. The zero Seen is a plain success.
type Seen struct {
	// Detail is in the target's own words, or in the probe's; empty: how long it took.
	Detail string
	// Degraded is a success all the same, of a target that serves slowly or partly.
	Degraded bool
	// Warning is what a person should look at, though nothing has failed yet.
	Warning string
	// Said is the target's own statement about itself. It counts at once, without
	// rise and fall. Unknown: it has stated nothing, the probe's success decides.
	Said health.State
	// Wish is what an agent asks for, nil for nothing.
	Wish *Wish
	// Report is which reading of its figures an agent tells of; zero: it does not say.
	Report Report
	// Generation is the content generation that the target serves; "": not known.
	Generation string
}

// Report is the number and the time of an agent's reading. One that is told again, or
// that is older than the one before, is no news: who reads the figures has stopped.
type Report struct {
	Seq uint64
	At  time.Time // by the agent's clock
}

// Wish is how much of the load a server asks for through its agent.
type Wish struct {
	Share       float64 // of its configured weight: 1 is all of it, 0 none
	Connections int     // the most that it takes; 0: not stated
	Drain       bool    // no new users; it finishes what it has
}
