package health

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Clients are who still comes to a site that gets no new users, as one of its
// balancers sees them. It is bounded: the largest groups of clients, and the oldest connections.
// What counts are spans of time by the balancer's own clock, so that clocks that differ
// change nothing; moments are for people.
type Clients struct {
	Since time.Time     `json:"since"`           // from when on the balancer has looked
	Open  int64         `json:"open"`            // connections open now
	Long  int64         `json:"long"`            // of these, those that are at least as old as DrainConfig.Long
	New   int64         `json:"new"`             // connections that came since
	Last  time.Time     `json:"last,omitzero"`   // the newest of them
	Quiet time.Duration `json:"quiet_ns"`        // how long none has come
	Steps []int64       `json:"steps,omitempty"` // new ones in each whole ClientStep that is over, the newest first
	// Ignored are connections open and new that are nobody's: of checkers, and of DrainConfig.Ignore.
	Ignored int64         `json:"ignored,omitempty"`
	Groups  []ClientGroup `json:"groups,omitempty"` // the most new connections first
	Rest    int           `json:"rest,omitempty"`   // groups that are left out
	Oldest  []Connection  `json:"oldest,omitempty"` // open connections, the oldest first
}

// The bounds of Clients.
const (
	// ClientStep is the length of one of Clients.Steps.
	ClientStep = 10 * time.Second
	// MostClientSteps, MostClientGroups, MostClientNetworks and MostOldest bound the lists:
	// together they are a few thousand octets in etcd.
	MostClientSteps    = 30
	MostClientGroups   = 10
	MostClientNetworks = 3
	MostOldest         = 10
)

// ClientGroup are the clients of one operator in one country.
type ClientGroup struct {
	Operator string        `json:"operator,omitempty"` // "": not known
	Country  string        `json:"country,omitempty"`
	Open     int64         `json:"open"`
	New      int64         `json:"new"`
	Last     time.Time     `json:"last,omitzero"`      // the newest connection
	Quiet    time.Duration `json:"quiet_ns,omitempty"` // how long none has come, of a group with new ones
	// Networks are those of 24 bits (IPv6: 56) with the most connections.
	Networks []string `json:"networks,omitempty"`
	More     int      `json:"more,omitempty"` // networks that are left out
}

// Connection is one that is open.
type Connection struct {
	Client   string        `json:"client"`
	Operator string        `json:"operator,omitempty"`
	Country  string        `json:"country,omitempty"`
	Server   string        `json:"server"`
	Since    time.Time     `json:"since"`
	Age      time.Duration `json:"age_ns"`
}

// Bound orders the lists and cuts them to their bounds.
func (c *Clients) Bound() {
	slices.SortFunc(c.Groups, func(a, b ClientGroup) int {
		return cmp.Or(cmp.Compare(b.New, a.New), cmp.Compare(b.Open, a.Open), cmp.Compare(a.Country, b.Country), cmp.Compare(a.Operator, b.Operator))
	})
	if n := len(c.Groups); n > MostClientGroups {
		c.Rest, c.Groups = c.Rest+n-MostClientGroups, c.Groups[:MostClientGroups]
	}
	for i := range c.Groups {
		if g := &c.Groups[i]; len(g.Networks) > MostClientNetworks {
			g.More, g.Networks = g.More+len(g.Networks)-MostClientNetworks, g.Networks[:MostClientNetworks]
		}
	}
	slices.SortFunc(c.Oldest, func(a, b Connection) int {
		return cmp.Or(cmp.Compare(b.Age, a.Age), cmp.Compare(a.Client, b.Client), cmp.Compare(a.Server, b.Server))
	})
	c.Oldest = c.Oldest[:min(len(c.Oldest), MostOldest)]
	c.Steps = c.Steps[:min(len(c.Steps), MostClientSteps)]
}

// join adds what another balancer of the site sees.
func (c *Clients) join(o *Clients) {
	c.Open, c.Long, c.New, c.Ignored, c.Rest = c.Open+o.Open, c.Long+o.Long, c.New+o.New, c.Ignored+o.Ignored, c.Rest+o.Rest
	c.Since = Sooner(c.Since, o.Since)
	if o.Last.After(c.Last) {
		c.Last = o.Last
	}
	c.Quiet = min(c.Quiet, o.Quiet)
	steps := make([]int64, max(len(c.Steps), len(o.Steps)))
	for i := range steps {
		for _, s := range [][]int64{c.Steps, o.Steps} {
			if i < len(s) {
				steps[i] += s[i]
			}
		}
	}
	groups := slices.Clone(c.Groups)
	for _, g := range o.Groups {
		i := slices.IndexFunc(groups, func(x ClientGroup) bool { return x.Operator == g.Operator && x.Country == g.Country })
		if i < 0 {
			groups = append(groups, g)
			continue
		}
		x := &groups[i]
		x.Quiet = quieter(*x, g)
		x.Open, x.New, x.More = x.Open+g.Open, x.New+g.New, x.More+g.More
		if g.Last.After(x.Last) {
			x.Last = g.Last
		}
		networks := slices.Clone(x.Networks)
		for _, n := range g.Networks {
			if !slices.Contains(networks, n) {
				networks = append(networks, n)
			}
		}
		x.Networks = networks
	}
	c.Steps, c.Groups = steps, groups
	c.Oldest = slices.Concat(c.Oldest, o.Oldest)
	c.Bound()
}

// quieter is how long none has come of a group of which two balancers tell.
func quieter(a, b ClientGroup) time.Duration {
	switch {
	case a.New == 0:
		return b.Quiet
	case b.New == 0:
		return a.Quiet
	}
	return min(a.Quiet, b.Quiet)
}

// calm tells when, from the newest step on, less than one new connection is to be
// expected, if they go on to become fewer as they have: at a constant rate, fitted to the logarithms
// of the steps (least squares). It says nothing of too few connections, or where
// they do not become fewer.
func calm(steps []int64) (time.Duration, bool) {
	const least, fitted = 3, 12 // steps
	n := min(len(steps), fitted)
	if n < least {
		return 0, false
	}
	total := int64(0)
	var sx, sy, sxx, sxy float64
	for i, s := range steps[:n] {
		total += s
		x, y := float64(-i), math.Log(float64(s)+0.5) // 0.5: a step without any has a logarithm, too
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	slope := (float64(n)*sxy - sx*sy) / (float64(n)*sxx - sx*sx)
	if total < 5 || !(slope < -0.01) {
		return 0, false
	}
	level := math.Exp((sy-slope*sx)/float64(n)) - 0.5 // at the newest step
	if level <= 0 {
		return 0, true
	}
	// What comes after t steps is level*exp(slope*t)/-slope in all.
	t := math.Log(level/-slope) / -slope
	return time.Duration(max(t, 0) * float64(ClientStep)), true
}
