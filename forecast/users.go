package forecast

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"gslb/geo"
	"gslb/parallel"
	"gslb/steer"
)

// Topology is what users are steered by.
type Topology struct {
	Sites    []steer.Site
	Policies []steer.Policy // one for each steered name, which is its Name
	Places   *geo.DB        // nil: nothing is known of any place
}

// Users are the users of a topology, or of two, by group and cohort. They are
// immutable, and safe for concurrent use.
type Users struct {
	weights *Weights
	groups  []Group
	sites   []string // of both topologies
	site    [2][]int // by topology and index in it: the index in sites
	index   [2][]int // by topology and index in sites: the index in it, or -1
	in      [2][]steer.Site
	names   []steered
	kinds   []*kind

	total, uncounted float64
}

// steered is one name; kind says where its users are.
type steered struct {
	name string
	kind int
}

// kind is how one or more names steer, before and after.
type kind struct {
	policies [2]*steer.Policy   // nil: the name is not in that topology
	compiled [2]*steer.Compiled // likewise
	cells    []cell
	cohorts  [2][]float64 // weight by cohort
	total    float64
}

// cell are the users of one group who are in one cohort before and in one after.
type cell struct {
	group  uint32
	cohort [2]uint32
	weight float64
}

// mostGroups bounds memory: there are more than a hundred thousand pairs of country and
// operator on earth, and the first four thousand have nine tenths of all addresses. The others
// are added up by country, but for the operators that rules name.
const mostGroups = 4096

// Others is the operator under which those that are few are added up.
const Others = "(others)"

// Survey counts the users of a topology and of the one that is to replace it. after may
// be nil: then there is none. It walks the address space once: seconds, on the largest databases,
// on all processors, yielding (package parallel) as it goes.
//
// Without a file of weights, addresses count of which a database, an override or a rule
// knows anything. Where there is no database, all those count that users can have.
func Survey(before, after *Topology, w *Weights) (*Users, error) {
	if after == nil {
		after = before
	}
	if w == nil {
		w = &Weights{}
	}
	u := &Users{weights: w}
	u.joinSites(before, after)
	if err := u.joinNames(before, after); err != nil {
		return nil, err
	}
	s := geo.NewSurvey([]*geo.DB{before.Places, after.Places}, u.cuts())
	c := counter{Users: u, survey: s, databases: len(before.Places.Sources())+len(after.Places.Sources()) > 0}
	if err := c.weigh(); err != nil {
		return nil, err
	}
	c.chooseGroups()
	c.classify()
	return u, nil
}

// joinSites numbers the sites of both topologies.
func (u *Users) joinSites(before, after *Topology) {
	number := map[string]int{}
	u.in = [2][]steer.Site{before.Sites, after.Sites}
	for t, sites := range u.in {
		for _, s := range sites {
			if _, ok := number[s.Name]; !ok {
				number[s.Name] = len(u.sites)
				u.sites = append(u.sites, s.Name)
			}
			u.site[t] = append(u.site[t], number[s.Name])
		}
	}
	for t := range u.in {
		u.index[t] = slices.Repeat([]int{-1}, len(u.sites))
		for i, n := range u.site[t] {
			u.index[t][n] = i
		}
	}
}

// joinNames finds out which names steer alike.
func (u *Users) joinNames(before, after *Topology) error {
	at := map[string]*[2]*steer.Policy{}
	var order []string
	for t, topology := range []*Topology{before, after} {
		for i := range topology.Policies {
			p := &topology.Policies[i]
			if at[p.Name] == nil {
				at[p.Name] = new([2]*steer.Policy)
				order = append(order, p.Name)
			}
			at[p.Name][t] = p
		}
	}
	same := slices.EqualFunc(before.Sites, after.Sites, func(a, b steer.Site) bool { return a == b }) && before.Places == after.Places
	for _, name := range order {
		pair := *at[name]
		k := slices.IndexFunc(u.kinds, func(k *kind) bool {
			return alike(k.policies[0], pair[0]) && alike(k.policies[1], pair[1])
		})
		if k < 0 {
			k = len(u.kinds)
			one := &kind{policies: pair}
			for t, topology := range []*Topology{before, after} {
				if pair[t] == nil {
					continue
				}
				if t == 1 && same && alike(pair[0], pair[1]) {
					one.compiled[1] = one.compiled[0]
					continue
				}
				var err error
				if one.compiled[t], err = steer.Compile(pair[t], topology.Sites); err != nil {
					return err
				}
			}
			u.kinds = append(u.kinds, one)
		}
		u.names = append(u.names, steered{name, k})
	}
	if len(u.names) == 0 {
		return errors.New("there is no steered name, so nothing to forecast")
	}
	return nil
}

// alike tells whether two policies send everyone to the same sites in the long run.
func alike(p, q *steer.Policy) bool {
	if p == nil || q == nil {
		return p == q
	}
	return reflect.DeepEqual(p.Rules, q.Rules) && reflect.DeepEqual(p.LastResort, q.LastResort)
}

// The sets of networks of the survey: two fixed ones, then those of each kind, before and after.
const (
	cutsPublic = iota
	cutsWeights
	cutsKinds
)

func (u *Users) cuts() [][]netip.Prefix {
	sets := [][]netip.Prefix{public, u.weights.cuts()}
	for _, k := range u.kinds {
		for _, c := range k.compiled {
			if c == nil {
				sets = append(sets, nil)
				continue
			}
			sets = append(sets, c.Cuts())
		}
	}
	return sets
}

// counter is the walk of a Survey. The pieces come in the same order each time, so
// that what is known of them is kept by their number.
type counter struct {
	*Users
	survey    *geo.Survey
	databases bool
	weight    []float64
	group     []uint32
}

// weigh fills in the weight of each piece.
func (c *counter) weigh() error {
	networks, groups := map[netip.Prefix]float64{}, map[Group]float64{} // how much of the address space each line has
	if c.weights.networks != nil || c.weights.groups != nil {
		c.survey.Each(func(p *geo.Piece) {
			if n := p.Within[cutsWeights]; n.IsValid() {
				networks[n] += p.Size
			}
			if g, ok := c.lineOf(&p.Places[1]); ok && !p.IPv6 {
				groups[g] += p.Size
			}
		})
	}
	c.survey.Each(func(p *geo.Piece) {
		weight := 0.0
		switch g, ok := c.lineOf(&p.Places[1]); {
		case c.weights.networks != nil:
			if n := p.Within[cutsWeights]; n.IsValid() {
				weight = c.weights.networks[n] * (p.Size / networks[n])
			}
		case c.weights.groups != nil:
			if ok && !p.IPv6 {
				weight = c.weights.groups[g] * (p.Size / groups[g])
			}
		case p.IPv6 != c.weights.IPv6:
		case c.counts(p):
			weight = p.Size
		case !isSpecial(p.Within[cutsPublic]):
			c.uncounted += p.Size
		}
		c.weight = append(c.weight, weight)
		c.total += weight
	})
	for n, w := range c.weights.networks {
		if networks[n] == 0 {
			c.uncounted += w // longer networks of the file have all of it
		}
	}
	for g, w := range c.weights.groups {
		if groups[g] == 0 {
			c.uncounted += w // no database knows it
		}
	}
	if !(c.total > 0) {
		return fmt.Errorf("no users to count: by %s, nothing of the address space has any", c.weights)
	}
	return nil
}

// counts tells whether a piece's addresses are taken for those of users.
func (c *counter) counts(p *geo.Piece) bool {
	for _, q := range p.Places {
		if q != (geo.Place{}) {
			return true
		}
	}
	for _, n := range p.Within[cutsKinds:] {
		if n.IsValid() {
			return true
		}
	}
	return !c.databases && !isSpecial(p.Within[cutsPublic])
}

// lineOf is the line of the weights that counts for a place.
func (c *counter) lineOf(p *geo.Place) (Group, bool) {
	if c.weights.groups == nil {
		return Group{}, false
	}
	g := groupOf(p)
	if _, ok := c.weights.groups[g]; ok {
		return g, true
	}
	g.Operator = ""
	_, ok := c.weights.groups[g]
	return g, ok
}

func groupOf(p *geo.Place) Group {
	return Group{Country: p.Country, Operator: cmp.Or(p.ISP, p.ASOrg, p.Organization)}
}

// chooseGroups numbers the groups of all pieces.
func (c *counter) chooseGroups() {
	sums := map[Group]float64{}
	i := 0
	c.survey.Each(func(p *geo.Piece) {
		if c.weight[i] > 0 {
			sums[groupOf(&p.Places[1])] += c.weight[i]
		}
		i++
	})
	all := slices.SortedFunc(maps.Keys(sums), func(a, b Group) int {
		return cmp.Or(cmp.Compare(sums[b], sums[a]), cmp.Compare(a.Country, b.Country), cmp.Compare(a.Operator, b.Operator))
	})
	named := c.namedOperators()
	number := make(map[Group]uint32, len(all))
	for i, g := range all {
		shown := g
		if i >= mostGroups && !named[strings.ToLower(g.Operator)] {
			shown.Operator = Others
		}
		n, ok := number[shown]
		if !ok {
			n = uint32(len(c.groups))
			c.groups = append(c.groups, shown)
			number[shown] = n
		}
		number[g] = n
	}
	i = 0
	c.group = make([]uint32, len(c.weight))
	c.survey.Each(func(p *geo.Piece) {
		if c.weight[i] > 0 {
			c.group[i] = number[groupOf(&p.Places[1])]
		}
		i++
	})
}

func (u *Users) namedOperators() map[string]bool {
	named := map[string]bool{}
	for _, k := range u.kinds {
		for _, p := range k.policies {
			if p == nil {
				continue
			}
			for _, r := range p.Rules {
				for _, isp := range r.Match.ISP {
					named[strings.ToLower(isp)] = true
				}
			}
		}
	}
	return named
}

// classify puts the pieces into cells, each goroutine those of its share of the kinds.
func (c *counter) classify() {
	goroutines := min(parallel.Processors(), len(c.kinds))
	parallel.Each(goroutines, func(g int) {
		type key struct {
			group  uint32
			cohort [2]uint32
		}
		sums := make([]map[key]float64, len(c.kinds))
		i := 0
		c.survey.Each(func(p *geo.Piece) {
			weight, group := c.weight[i], c.group[i]
			i++
			if weight == 0 {
				return
			}
			for n := g; n < len(c.kinds); n += goroutines {
				k := key{group: group}
				for t, compiled := range c.kinds[n].compiled {
					switch {
					case compiled == nil:
					case t == 1 && compiled == c.kinds[n].compiled[0]:
						k.cohort[1] = k.cohort[0]
					default:
						k.cohort[t] = compiled.Classify(p.Places[t], p.Within[cutsKinds+2*n+t], nil)
					}
				}
				if sums[n] == nil {
					sums[n] = map[key]float64{}
				}
				sums[n][k] += weight
			}
		})
		for n := g; n < len(c.kinds); n += goroutines {
			for k, weight := range sums[n] {
				c.kinds[n].cells = append(c.kinds[n].cells, cell{k.group, k.cohort, weight})
			}
			c.kinds[n].settle()
		}
	})
}

// settle ends the filling of a kind.
func (k *kind) settle() {
	slices.SortFunc(k.cells, func(a, b cell) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.cohort[0], b.cohort[0]), cmp.Compare(a.cohort[1], b.cohort[1]))
	})
	for t, c := range k.compiled {
		if c != nil {
			c.Settle()
			k.cohorts[t] = make([]float64, c.Cohorts())
		}
	}
	for _, cell := range k.cells {
		k.total += cell.weight
		for t := range k.cohorts {
			if k.cohorts[t] != nil {
				k.cohorts[t][cell.cohort[t]] += cell.weight
			}
		}
	}
}
