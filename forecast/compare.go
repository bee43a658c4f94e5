package forecast

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gslb/health"
)

// Side is what users are steered by on one side of a comparison.
type Side struct {
	After  bool           // by the second topology of the Survey
	States *health.States // nil: nothing is known of any site, so all are in service
}

// By is how finely users are told apart.
type By string

// The ways to tell users apart. The zero By is ByBoth.
const (
	ByBoth     By = "both" // country and operator
	ByCountry  By = "country"
	ByOperator By = "operator"
)

// Options say how to compare.
type Options struct {
	// Total is the load that is expected of all names together, in the unit of the
	// sites' capacities. 0: what their balancers report on the side before.
	Total float64
	// Names are the relative weights of the steered names, by name; those that it leaves out
	// have none. nil: all count alike.
	Names map[string]float64
	// Shedding takes every site with a capacity for one that sheds users when it is near
	// that. Otherwise only those do whose balancers report.
	Shedding bool
	By       By
	// Most is how many moves and rows of a name are listed; the others are added up.
	// 0: 20; less than 0: none.
	Most int
}

// Comparison is what moves from one side to the other, and where everyone is then.
type Comparison struct {
	Counted   string  `json:"counted"`             // what users were counted by
	Users     float64 `json:"users"`               // in that unit
	Uncounted float64 `json:"uncounted,omitempty"` // addresses of which nothing is known, or weights of what no database knows
	By        By      `json:"by"`
	Total     float64 `json:"total"` // expected load in all; 0: unknown
	// Carries is the load in all at which the first site would reach its capacity on the side
	// after, if none shed. 0: no site that has users states a capacity.
	Carries    float64      `json:"carries,omitempty"`
	First      string       `json:"first,omitempty"` // that site
	Moved      float64      `json:"moved"`           // share of all users who change their site
	Sites      []SiteChange `json:"sites"`
	Names      []NameChange `json:"names"`
	Overloaded []string     `json:"overloaded"` // sites whose load passes their capacity
}

// SiteChange is one site before and after.
type SiteChange struct {
	Site     string  `json:"site"`
	Before   string  `json:"before"` // its state in words; "none": there is no such site
	After    string  `json:"after"`
	Capacity float64 `json:"capacity"` // after; 0: unknown
	// Share of all users, 0 to 1, and the load that follows from the total.
	ShareBefore float64 `json:"share_before"`
	ShareAfter  float64 `json:"share_after"`
	LoadBefore  float64 `json:"load_before"`
	LoadAfter   float64 `json:"load_after"`
	// LoadFirst is the load right after the change, until shedding has settled.
	LoadFirst float64 `json:"load_first"`
	Shed      float64 `json:"shed"` // share of the users who come to it that it sheds after that
	Over      bool    `json:"over"` // its load after passes its capacity
}

// NameChange is one or more steered names that steer alike, on both sides.
type NameChange struct {
	Names      []string    `json:"names"`
	New        bool        `json:"new,omitempty"`     // not there before
	Removed    bool        `json:"removed,omitempty"` // not there after
	Moved      float64     `json:"moved"`             // share of its users who change their site
	FailOpen   float64     `json:"fail_open,omitempty"`
	LastResort float64     `json:"last_resort,omitempty"`
	Before     []SiteShare `json:"before"` // the largest first
	After      []SiteShare `json:"after"`
	Moves      []Move      `json:"moves"` // the largest first
	Rest       Rest        `json:"rest"`  // of the moves
	Rows       []Row       `json:"rows"`  // where each group is after, the largest first
	RestRows   Rest        `json:"rest_rows"`
}

// SiteShare is the share of users at a site.
type SiteShare struct {
	Site  string  `json:"site"`
	Share float64 `json:"share"`
}

// Move is how many of the users of a name leave one site for another.
type Move struct {
	Group
	From  string  `json:"from"`
	To    string  `json:"to"`
	Share float64 `json:"share"` // of the name's users
}

// Row is where the users of a group are.
type Row struct {
	Group
	Share float64     `json:"share"` // of the name's users
	Sites []SiteShare `json:"sites"` // of the group's users, the largest first
}

// Rest is what is not listed.
type Rest struct {
	Count int     `json:"count"`
	Share float64 `json:"share"`
}

// Compare tells what differs between two sides of one Survey: what moves from site to
// site, and what load each site is to expect. It fails for Options that make no sense.
func (u *Users) Compare(before, after Side, o Options) (*Comparison, error) {
	names, err := u.share(o.Names)
	if err != nil {
		return nil, err
	}
	if o.By == "" {
		o.By = ByBoth
	}
	if o.Most == 0 {
		o.Most = 20
	}
	if !slices.Contains([]By{ByBoth, ByCountry, ByOperator}, o.By) {
		return nil, fmt.Errorf("%q: users are told apart by country, operator or both", o.By)
	}
	if o.Total < 0 || math.IsNaN(o.Total) || math.IsInf(o.Total, 0) {
		return nil, fmt.Errorf("expected load %v: must be a number above 0", o.Total)
	}
	b := u.look(before.topology(), states(before.States), names)
	a := u.look(after.topology(), states(after.States), names)
	c := &Comparison{Counted: u.weights.String(), Users: u.total, Uncounted: u.uncounted, By: o.By, Total: o.Total, Overloaded: []string{}}
	if c.Total == 0 {
		for _, name := range u.sites {
			if st := b.states.Site(name); st.Load > 0 {
				c.Total += st.Load
			}
		}
	}
	c.carry(a)
	first := a
	if c.Total > 0 {
		b, a = b.shed(c.Total, o.Shedding), a.shed(c.Total, o.Shedding)
	}
	c.compareSites(b, first, a)
	c.compareNames(b, a, o)
	return c, nil
}

func (s Side) topology() int {
	if s.After {
		return 1
	}
	return 0
}

func states(s *health.States) *health.States {
	if s == nil {
		return &health.States{}
	}
	return s
}

// share gives each name its share of all users.
func (u *Users) share(weights map[string]float64) ([]float64, error) {
	out := make([]float64, len(u.names))
	sum := 0.0
	for i, n := range u.names {
		out[i] = 1
		if weights != nil {
			out[i] = weights[n.name]
		}
		if out[i] < 0 || math.IsNaN(out[i]) || math.IsInf(out[i], 0) {
			return nil, fmt.Errorf("weight %v of %s: must be a number, 0 or more", out[i], n.name)
		}
		sum += out[i]
	}
	if !(sum > 0) {
		return nil, fmt.Errorf("none of the %d steered names has a weight above 0", len(u.names))
	}
	for i := range out {
		out[i] /= sum
	}
	return out, nil
}

// carry finds the load that the sites can carry.
func (c *Comparison) carry(v *view) {
	for site, share := range v.shares {
		if capacity := v.capacity(site); share > 0 && capacity > 0 && (c.First == "" || capacity/share < c.Carries) {
			c.Carries, c.First = capacity/share, v.sites[site]
		}
	}
}

func (c *Comparison) compareSites(before, first, after *view) {
	for site, name := range before.sites {
		s := SiteChange{
			Site: name, Before: before.word(site), After: after.word(site), Capacity: after.capacity(site),
			ShareBefore: before.shares[site], ShareAfter: after.shares[site],
			LoadBefore: before.shares[site] * c.Total, LoadAfter: after.shares[site] * c.Total, LoadFirst: first.shares[site] * c.Total,
			Shed: after.states.Site(name).Shed,
		}
		const rounding = 1e-9
		if s.Over = s.Capacity > 0 && s.LoadAfter > s.Capacity*(1+rounding); s.Over {
			c.Overloaded = append(c.Overloaded, name)
		}
		c.Sites = append(c.Sites, s)
	}
}

// word is a site's state for people.
func (v *view) word(site int) string {
	if v.index[v.topology][site] < 0 {
		return "none"
	}
	st := v.states.Site(v.sites[site])
	if st.Draining && st.State.Available() {
		return "draining"
	}
	if st.State.Available() && st.Held != "" {
		return "held"
	}
	return st.State.String()
}

// compareNames fills in the names, those that steer alike together.
func (c *Comparison) compareNames(before, after *view, o Options) {
	rows := before.rows(o.By)
	at := map[int]int{} // kind: index in c.Names
	for i, n := range before.Users.names {
		if before.names[i] == 0 {
			continue
		}
		k, ok := at[n.kind]
		if !ok {
			k = len(c.Names)
			at[n.kind] = k
			c.Names = append(c.Names, compareKind(before, after, n.kind, rows, o))
		}
		c.Names[k].Names = append(c.Names[k].Names, n.name)
		c.Moved += before.names[i] * c.Names[k].Moved
	}
}

func compareKind(before, after *view, n int, rows rows, o Options) NameChange {
	k, b, a := before.Users.kinds[n], &before.kinds[n], &after.kinds[n]
	out := NameChange{
		New: k.compiled[before.topology] == nil, Removed: k.compiled[after.topology] == nil,
		FailOpen: a.failOpen, LastResort: a.lastResort,
		Before: before.list(b.shares), After: before.list(a.shares), Moves: []Move{}, Rows: []Row{},
	}
	flows := newFlows(rows, k.total)
	for i := range k.cells {
		cell := &k.cells[i]
		row := rows.of[cell.group]
		var from, to []portion
		if b.portions != nil {
			from = b.portions[cell.cohort[before.topology]]
		}
		if a.portions != nil {
			to = a.portions[cell.cohort[after.topology]]
			flows.stay(row, to, cell.weight)
		}
		if from != nil && to != nil {
			flows.move(row, from, to, cell.weight)
		}
	}
	out.Moved = flows.moved / k.total
	if o.Most > 0 {
		out.Moves, out.Rest = flows.moves(before.sites, o.Most)
		out.Rows, out.RestRows = flows.rows(before.Users, o.Most)
	}
	return out
}

// list is the sites that have a share, the largest first.
func (u *Users) list(shares []float64) []SiteShare {
	out := []SiteShare{}
	for site, share := range shares {
		if share > 0 {
			out = append(out, SiteShare{u.sites[site], share})
		}
	}
	slices.SortStableFunc(out, func(a, b SiteShare) int { return cmp.Compare(b.Share, a.Share) })
	return out
}
