package fleet

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strings"

	"gslb/geo"
	"gslb/health"
)

// roleChecker is the role of nodes that probe.
const roleChecker = "checker"

// chosen are the checkers that are to probe a site, by name. It is a function of
// what every node knows, so that all agree without a word: of nearest, the nearest
// by great circle, those without a place last, what is equally near by a hash of
// node and site, so that sites without a location are spread over all.
func chosen(v health.Vantage, site string, at *geo.Coordinates, checkers []Node) map[string]bool {
	items, err := v.Items()
	if err != nil {
		items = []health.VantageItem{{Kind: "all"}}
	}
	out := map[string]bool{}
	for _, item := range items {
		ranked := checkers
		count := len(checkers)
		if item.Kind == "nearest" {
			ranked, count = byDistance(site, at, checkers), min(item.Count, count)
		}
		for _, n := range ranked[:count] {
			if stands(n, item) {
				out[n.Name] = true
			}
		}
	}
	return out
}

// stands tells whether a checker is what the item asks for, its rank apart.
func stands(n Node, item health.VantageItem) bool {
	p := n.Place
	switch item.Kind {
	case "all", "nearest":
		return true
	case "name":
		return n.Name == item.Value
	case "country":
		return p != nil && strings.EqualFold(p.Country, item.Value)
	case "continent":
		return p != nil && strings.EqualFold(p.Continent, item.Value)
	case "isp":
		return p != nil && strings.EqualFold(p.ISP, item.Value)
	}
	return false
}

func byDistance(site string, at *geo.Coordinates, checkers []Node) []Node {
	far := func(n Node) float64 {
		if at == nil || n.Place == nil || !n.Place.HasLocation {
			return math.Inf(1)
		}
		return geo.Distance(n.Place.Location, *at)
	}
	lot := func(n Node) uint64 {
		sum := sha256.Sum256([]byte(n.Name + "\x00" + site))
		return binary.BigEndian.Uint64(sum[:])
	}
	return slices.SortedFunc(slices.Values(checkers), func(a, b Node) int {
		return cmp.Or(cmp.Compare(far(a), far(b)), cmp.Compare(lot(a), lot(b)), cmp.Compare(a.Name, b.Name))
	})
}

// assign decides which sites this node probes.
//
//	this node is chosen   probes it   each chosen one has a verdict   -> probes it
//	yes                   -           -                                  yes
//	no                    no          -                                  no
//	no                    yes         no                                 yes: it hands over only then
//	no                    yes         yes                                no, and takes its vote back
//
// Alone (etcd is away for long) it is the only checker there is.
func (f *Fleet) assign(rec records, alone bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.topology.Vantage) == 0 && len(f.mine) == 0 {
		f.nobodys = nil
		return
	}
	f.choose(f.checkers(rec, alone))
	verdicts := map[string]map[string]bool{} // site -> who has one
	for site := range f.topology.Vantage {
		s := rec.said[site]
		if s == nil {
			continue
		}
		verdicts[site] = map[string]bool{}
		for _, v := range s.votes {
			if v.State != health.Unknown {
				verdicts[site][v.Vantage] = true
			}
		}
	}
	mine := map[string]bool{}
	f.nobodys = nil
	for site, who := range f.who {
		switch {
		case !slices.Contains(f.topology.Sites, site):
			continue
		case len(who) == 0:
			f.nobodys = append(f.nobodys, site)
		case who[f.cfg.Node]:
			mine[site] = true
		case f.mine[site] && f.votes[site].State != health.Unknown:
			for name := range who {
				if !verdicts[site][name] {
					mine[site] = true
				}
			}
		}
	}
	slices.Sort(f.nobodys)
	if maps.Equal(mine, f.mine) {
		return
	}
	f.mine = mine
	for site := range f.votes {
		if !f.probes(site) {
			delete(f.votes, site)
			add(&f.news.sites, site)
			f.withdraw(keyOf(kindVote, site, f.cfg.Node))
		}
	}
	select {
	case f.turned <- struct{}{}:
	default:
	}
}

// choose makes f.who anew where it may be another: it is the costly part, and seldom
// changes. The caller holds f.mu.
func (f *Fleet) choose(checkers []Node) {
	if f.who != nil && slices.EqualFunc(checkers, f.live, func(a, b Node) bool {
		return a.Name == b.Name && (a.Place == nil) == (b.Place == nil) && (a.Place == nil || *a.Place == *b.Place)
	}) {
		return
	}
	f.live, f.who = checkers, make(map[string]map[string]bool, len(f.topology.Vantage))
	for site, v := range f.topology.Vantage {
		var at *geo.Coordinates
		if l, ok := f.topology.Locations[site]; ok {
			at = &l
		}
		f.who[site] = chosen(v, site, at, checkers)
	}
}

// checkers are the live ones, this node among them if it is one; those that can't
// see are left out, unless none can. The caller holds f.mu.
func (f *Fleet) checkers(rec records, alone bool) []Node {
	if alone {
		rec.nodes = nil
	}
	all := f.checkersAll(rec)
	seeing := slices.DeleteFunc(slices.Clone(all), func(n Node) bool { return n.Blind != "" })
	if len(seeing) > 0 {
		return seeing
	}
	return all
}

func (f *Fleet) checkersAll(rec records) (all []Node) {
	if slices.Contains(f.self.Roles, roleChecker) {
		all = append(all, f.self)
	}
	for _, n := range rec.nodes { // of one name the newest first
		if slices.Contains(n.Roles, roleChecker) && !slices.ContainsFunc(all, func(o Node) bool { return o.Name == n.Name }) {
			all = append(all, n)
		}
	}
	return all
}

// probes tells whether this node probes a site. The caller holds f.mu.
func (f *Fleet) probes(site string) bool {
	return f.topology.Vantage[site] == "" || f.mine[site]
}

// Probes tells whether this node is among the vantage points of a site. A site of
// which all checkers are is probed from the start, any other once it is known who lives.
func (f *Fleet) Probes(site string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.probes(site)
}

// Turned is sent to when Probes says something else than before.
func (f *Fleet) Turned() <-chan struct{} { return f.turned }

// Unwatched are the sites that no live checker is to probe, sorted.
func (f *Fleet) Unwatched() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.nobodys)
}

// audiences are what the vantage points stand for, by name.
func (f *Fleet) audiences(rec records) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.topology.AudienceOf == nil {
		return nil
	}
	out := map[string]string{}
	for _, n := range f.checkersAll(rec) {
		if n.Place == nil {
			continue
		}
		if audience := f.topology.AudienceOf(*n.Place); audience != "" {
			out[n.Name] = audience
		}
	}
	return out
}
