package steer

import (
	"net/netip"
	"slices"
	"time"

	"gslb/geo"
)

// Site is a place that users can be sent to, as far as the decision needs it.
type Site struct {
	Name        string
	Location    geo.Coordinates
	HasLocation bool
	Capacity    float64 // in the units its balancer reports load in; 0: not stated
	Weight      float64 // default weight as a member; 0 means 1
	Bias        float64 // kilometres added to its distance in "nearest"; negative draws users in
}

// Pick names how a tier with several available members chooses one.
type Pick uint8

const (
	Nearest    Pick = iota // great-circle distance plus bias, the least first; as Hash when there is nothing to measure from
	Weighted               // by weight, at random for each client network and TTL period
	RoundRobin             // each in turn, whatever its weight
	Hash                   // sticky for a client network (rendezvous hashing by weight)
	Load                   // by spare capacity times weight, at random as Weighted
	Latency                // by the client's own times (Policy.Measured) or those that a vantage point near it measures, the least first; as Nearest where there are none
)

// ordered tells whether the pick is the first of an order of preference.
func (p Pick) ordered() bool { return p == Nearest || p == Latency }

// Policy is an ordered list of rules: the first that matches a client decides.
type Policy struct {
	Name  string // for people: the steered name it was declared with
	Rules []Rule
	// LastResort are the tiers that answer when no member of the rule's tiers is
	// available. When it is empty or none of it is available either: fail open,
	// that is choose as though all were up.
	LastResort []Target
	// Audiences are the users for whom a site can be down alone; a client is in the
	// first that matches. Networks are not looked at.
	Audiences []Audience `json:",omitempty"`
	// Measured are times that go before those of vantage points, for tiers that pick by
	// Latency. No network, number and country is in two of them.
	Measured []Measurement `json:",omitempty"`
	// Release is the steered name whose released content generation the sites must
	// serve to be given to new users (health.States.Released); "": they need not.
	Release string `json:",omitempty"`
	// Answers is how many sites an answer gives at most, all of one tier and each to be
	// given by itself; 0 and 1: one. Its users are taken to be spread evenly over them.
	Answers int           `json:",omitempty"`
	TTL     time.Duration // of the tailored answers; the draw of Weighted and Load lasts as long
}

// Picks tells whether a tier of the policy with several members picks so.
func (p *Policy) Picks(pick Pick) bool {
	picks := func(t Target) bool { return t.picks(pick) }
	return slices.ContainsFunc(p.LastResort, picks) || slices.ContainsFunc(p.Rules, func(r Rule) bool { return slices.ContainsFunc(r.Tiers, picks) })
}

// Audience are the users of an operator or a region, seen by the vantage points
// that stand in it (health.Status.For).
type Audience struct {
	Name  string
	Match Match
}

// Rule sends the clients that match to its tiers. A Rule without matchers matches everyone.
type Rule struct {
	Match Match
	Tiers []Target // in order: the first with an available member answers
}

// Match is a conjunction of the fields that are set; each field is a disjunction
// of its values. Country codes and names compare without regard to case.
type Match struct {
	Networks    []netip.Prefix
	ISP         []string // equal to the Place's ISP, ASOrg or Organization
	ASN         []uint32
	City        []string
	Subdivision []string // "KR-11" or "11"
	Country     []string
	Continent   []string
}

// Target is one tier: some sites and how to pick among them.
type Target struct {
	Label   string // as written, e.g. "nearest:all" or "kt"
	Pick    Pick
	Members []Member
	// Min is how many members must be in service, with a weight, for the tier to
	// count while another one has as many as it needs; 0 and 1: one.
	Min int
}

// picks tells whether it has a choice, made so.
func (t *Target) picks(pick Pick) bool { return t.Pick == pick && len(t.Members) > 1 }

// Member is a site in a tier.
type Member struct {
	Site   int     // index in the sites given to Compile
	Weight float64 // 0: last tier of all (only when nothing else is available)
}
