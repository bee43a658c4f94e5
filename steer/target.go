package steer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// allSites is the name that stands for every site, unless a group has it.
const allSites = "all"

// UnknownError is a name that nothing bears. Known lists what would have been
// right, so that the caller can propose the closest.
type UnknownError struct {
	What  string // "pick", or "site or group"
	Name  string
	Known []string // sorted
}

// Error implements error.
func (e *UnknownError) Error() string {
	const most = 12 // names that are still read at a glance
	known := e.Known
	more := ""
	if len(known) > most {
		more = fmt.Sprintf(" and %d more", len(known)-most)
		known = known[:most]
	}
	return fmt.Sprintf("no %s is named %q: must be one of %s%s", e.What, e.Name, strings.Join(known, ", "), more)
}

// ParseTarget reads one tier as configuration writes it:
//
//	target = [ pick ":" ] item { "," item } [ ";" "min" number ]
//	pick   = "nearest" | "weighted" | "round-robin" | "hash" | "load" | "latency"
//	item   = group | site [ "=" weight ]
//
// Without a pick it is nearest. The group "all" is every site, unless groups
// has one of that name. A site's weight is the one written, else its own
// default. The members keep the order written, which is the order that nearest
// falls back on for sites without a location. With min the tier counts only while so
// many of its members with a weight are in service, or no other tier counts. A name that is both a site and a
// group, a site that occurs twice, and an empty group are errors.
func ParseTarget(s string, sites []Site, groups map[string][]Member) (Target, error) {
	t := Target{Label: strings.TrimSpace(s)}
	list, least, limited := strings.Cut(t.Label, ";")
	if word, rest, ok := strings.Cut(list, ":"); ok {
		pick, err := ParsePick(strings.TrimSpace(word))
		if err != nil {
			return Target{}, err
		}
		t.Pick, list = pick, rest
	}
	p := targetParser{sites: sites, groups: groups, seen: make(map[int]bool)}
	for item := range strings.SplitSeq(list, ",") {
		if err := p.item(strings.TrimSpace(item)); err != nil {
			return Target{}, err
		}
	}
	t.Members = p.members
	if limited {
		var err error
		if t.Min, err = parseMin(least, t.weighty()); err != nil {
			return Target{}, err
		}
	}
	return t, nil
}

// parseMin reads what stands behind the semicolon; most is how many there are.
func parseMin(s string, most int) (int, error) {
	s = strings.TrimSpace(s)
	word, number, _ := strings.Cut(s, " ")
	n, err := strconv.Atoi(strings.TrimSpace(number))
	if word != "min" || err != nil {
		return 0, fmt.Errorf(`%q: after the members may come "; min 2", with the number that must be in service`, s)
	}
	if n < 1 || n > most {
		return 0, fmt.Errorf("min %d: must be 1 to %d, the members with a weight", n, most)
	}
	return n, nil
}

// weighty is how many members have a weight.
func (t *Target) weighty() (n int) {
	for _, m := range t.Members {
		if m.Weight > 0 {
			n++
		}
	}
	return n
}

type targetParser struct {
	sites   []Site
	groups  map[string][]Member
	seen    map[int]bool
	members []Member
}

func (p *targetParser) item(item string) error {
	name, weight, weighted := strings.Cut(item, "=")
	name = strings.TrimSpace(name)
	if name == "" {
		return fmt.Errorf("%q: must name a site or a group", item)
	}
	site := slices.IndexFunc(p.sites, func(s Site) bool { return s.Name == name })
	members, isGroup := p.group(name, site >= 0)
	switch {
	case site >= 0 && isGroup:
		return fmt.Errorf("%q is both a site and a group: one must be renamed", name)
	case site < 0 && !isGroup:
		return &UnknownError{What: "site or group", Name: name, Known: p.names()}
	case isGroup && weighted:
		return fmt.Errorf("%q: %q is a group, whose members have weights of their own; only a site can be given one here", item, name)
	case isGroup && len(members) == 0:
		return fmt.Errorf("group %q is empty: must have at least one site", name)
	case isGroup:
		for _, m := range members {
			if err := p.add(m); err != nil {
				return err
			}
		}
		return nil
	}
	m := Member{Site: site, Weight: p.sites[site].defaultWeight()}
	if weighted {
		w, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
		if err != nil || !validWeight(w) {
			return fmt.Errorf("weight %q of %q: %s", strings.TrimSpace(weight), name, weightWanted)
		}
		m.Weight = w
	}
	return p.add(m)
}

// group resolves a name as a group. The implicit group "all" gives way to a
// site of that name.
func (p *targetParser) group(name string, isSite bool) ([]Member, bool) {
	if g, ok := p.groups[name]; ok {
		return g, true
	}
	if name != allSites || isSite {
		return nil, false
	}
	return everySite(p.sites), true
}

func (p *targetParser) add(m Member) error {
	if m.Site < 0 || m.Site >= len(p.sites) {
		return fmt.Errorf("member refers to site number %d: must be 0 to %d", m.Site, len(p.sites)-1)
	}
	if p.seen[m.Site] {
		return fmt.Errorf("site %q occurs twice: must occur once", p.sites[m.Site].Name)
	}
	p.seen[m.Site] = true
	p.members = append(p.members, m)
	return nil
}

func (p *targetParser) names() []string {
	names := make([]string, 0, len(p.sites)+len(p.groups)+1)
	for _, s := range p.sites {
		names = append(names, s.Name)
	}
	names = slices.AppendSeq(names, maps.Keys(p.groups))
	names = append(names, allSites)
	slices.Sort(names)
	return slices.Compact(names)
}

func everySite(sites []Site) []Member {
	members := make([]Member, len(sites))
	for i, s := range sites {
		members[i] = Member{Site: i, Weight: s.defaultWeight()}
	}
	return members
}

func (s Site) defaultWeight() float64 {
	if s.Weight == 0 {
		return 1
	}
	return s.Weight
}

// Bounds of a weight that keep all arithmetic on it far from overflow.
const (
	minWeight = 1e-9
	maxWeight = 1e9
)

// weightWanted says which weights validWeight takes.
const weightWanted = "must be 0, or from 1e-9 to 1e9"

func validWeight(w float64) bool { return w == 0 || w >= minWeight && w <= maxWeight }
