package health

import (
	"fmt"
	"time"
)

// State is what is known about a site, a server or one vantage point's view of
// either. The zero State is Unknown, which is never Down: an unknown member
// stays in service (see docs/architecture.md).
type State uint8

const (
	Unknown State = iota // no verdict yet, or no live vantage point
	Up
	Degraded // answers, but slowly or partly; counts as available
	Down
)

// Available tells whether a member in this state may be given to users.
// Unknown is available: losing sight of a site is not the site's failure.
func (s State) Available() bool { return s != Down }

// Vote is one vantage point's view of one target, as kept under its lease.
type Vote struct {
	Vantage string    `json:"vantage"`          // the checker's node name
	Site    string    `json:"site"`             // the site voted on
	State   State     `json:"state"`            // its rise/fall verdict
	Since   time.Time `json:"since"`            // when that verdict began, by the voter's clock; for display only
	Detail  string    `json:"detail,omitempty"` // the last probe's outcome, in words
	// Generation is the content generation that its probes have seen, several with
	// commas between them; "": they do not look, or have seen none.
	Generation string `json:"generation,omitempty"`
}

// Report is what the balancer of a site says about it, as kept under its lease.
type Report struct {
	Site        string     `json:"site"`
	Node        string     `json:"node"`    // the balancer node that reports
	Healthy     int        `json:"healthy"` // servers in service and healthy
	Total       int        `json:"total"`   // servers configured, spares not counted
	Load        float64    `json:"load"`    // in the units of Capacity
	Capacity    float64    `json:"capacity"`
	Connections int64      `json:"connections"`          // open now
	Generation  string     `json:"generation,omitempty"` // content generation that the servers in service serve; several with commas between them
	At          time.Time  `json:"at"`                   // by the reporter's clock; for display only
	Servers     []Server   `json:"servers,omitempty"`    // one line for each server, for people to see
	Frontends   []Frontend `json:"frontends,omitempty"`  // for people, too
	// Clients are who still comes, of a site that gets no new users; else nil.
	Clients *Clients `json:"clients,omitempty"`
}

// Server is the state of one real server in a Report.
type Server struct {
	Frontend    string `json:"frontend"`
	Address     string `json:"address"`
	State       State  `json:"state"`
	Role        string `json:"role"` // "server" or "spare"
	InService   bool   `json:"in_service"`
	Draining    bool   `json:"draining,omitempty"`
	Connections int64  `json:"connections"`
	Generation  string `json:"generation,omitempty"` // content generation that it serves
	Detail      string `json:"detail,omitempty"`
	// Traffic is what goes to it; nil: the balancer does not say.
	Traffic *Traffic `json:"traffic,omitempty"`
}

// Frontend is a frontend in a Report.
type Frontend struct {
	Name  string `json:"name"`
	Plane string `json:"plane"`         // how its connections are carried: "proxy", "nat (nft)", "dsr (tcx)" …
	Why   string `json:"why,omitempty"` // and why so, in words
	Pick  string `json:"pick"`
}

// Traffic is what goes to a server, at the time of the Report. It alone causes none.
type Traffic struct {
	Rate      float64 `json:"rate"`                // new connections a second
	Load      float64 `json:"load,omitempty"`      // connections over capacity; 0: none is stated
	Queued    int64   `json:"queued,omitempty"`    // clients that wait for it
	Ejections int64   `json:"ejections,omitempty"` // how often it was isolated
	Median    float64 `json:"median,omitempty"`    // of the time to its first byte lately, in seconds; 0: nothing was measured
	P99       float64 `json:"p99,omitempty"`       // likewise, of 99 in 100 connections
}

// OverrideKind is what an operator ordered for a site.
type OverrideKind string

const (
	Drain     OverrideKind = "drain" // no new answers; the site is healthy and finishes its work
	ForceUp   OverrideKind = "up"    // treat as up whatever the probes say
	ForceDown OverrideKind = "down"  // treat as down whatever the probes say
	Share     OverrideKind = "share" // a part of the users that it would get, the rest go elsewhere
)

// Override is an operator's order. It beats health, survives restarts, and ends at Until.
type Override struct {
	Site  string       `json:"site"`
	Kind  OverrideKind `json:"kind"`
	Who   string       `json:"who"`
	Why   string       `json:"why"`
	Since time.Time    `json:"since"`
	Until time.Time    `json:"until,omitzero"` // zero: until it is taken back
	// Of the kind Share: the part of its users, 0 to 1, and the time from Since on in
	// which it gets there from From, in steps.
	Share float64       `json:"share,omitempty"`
	From  float64       `json:"from,omitempty"`
	Over  time.Duration `json:"over,omitempty"`
}

// maxOver bounds the time in which a site's share changes.
const maxOver = 30 * 24 * time.Hour

// ShareFault tells what is wrong with the part of the users that o gives, and with
// the time in which it gets there; nil: nothing.
func (o Override) ShareFault() error {
	switch {
	case o.Kind == Share && !(o.Share >= 0 && o.Share <= 1):
		return fmt.Errorf("share %v: must be 0 to 1", o.Share)
	case o.Over < 0 || o.Over > maxOver:
		return fmt.Errorf("over %v: must be 0s to %v", o.Over, maxOver)
	}
	return nil
}

// Expired tells whether the override has ended at now.
func (o Override) Expired(now time.Time) bool { return !o.Until.IsZero() && !now.Before(o.Until) }
