package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"gslb/config"
	"gslb/console"
	"gslb/forecast"
	"gslb/geo"
	"gslb/health"
	"gslb/history"
	"gslb/steady"
)

// What a node can hold back besides sites.
const (
	heldDatabases = "databases"
	heldTopology  = "topology"
)

// errHeld is what a reload fails with when the breaker holds what it would put in force.
var errHeld = errors.New("held by the breaker")

// heldChange is one change that is not put in force because it moves too much at once.
type heldChange struct {
	console.HeldChange
	places *geo.DB // databases that are ready to be used
	mark   string  // tells the change from others of its kind
	again  func()  // puts a topology in force after all
}

// tooLarge tells why a change is too large to be put in force at once, and what it moves;
// a Why of "": it is not.
// It compares with what is served, over the whole address space, names weighed by
// how often they were asked for, sites in the states that they have.
func (n *node) tooLarge(served *topology, after *config.Config, places *geo.DB) (h console.HeldChange) {
	limit := served.cfg.Breaker.MaxSpaceLost
	if limit <= 0 || len(served.cfg.Steers) == 0 || len(after.Steers) == 0 {
		return h
	}
	why, then, err := moves(served.cfg, after, served.places, places, n.fleet.States(), answered(n.choices(), steeredNames([]*config.Config{served.cfg, after})), limit)
	if err != nil { // such as no address of which anything is known
		n.log.Warn("breaker: what a change would move is not known: it is not held", "error", err)
	}
	if why != "" {
		h.Why, h.Moved, h.Moves = why, then.Moved, mostMoved(then.Sites)
	}
	return h
}

// mostMoved are the sites whose share of the users changes most.
func mostMoved(sites []forecast.SiteChange) []forecast.SiteChange {
	change := func(s forecast.SiteChange) float64 { return math.Abs(s.ShareAfter - s.ShareBefore) }
	moved := slices.DeleteFunc(slices.Clone(sites), func(s forecast.SiteChange) bool { return change(s) < 1e-9 })
	slices.SortStableFunc(moved, func(a, b forecast.SiteChange) int { return cmp.Compare(change(b), change(a)) })
	return moved[:min(len(moved), console.MostMoves)]
}

// moves compares two topologies with their databases, and says what is too much of it.
func moves(before, after *config.Config, was, is *geo.DB, states *health.States, names map[string]float64, limit float64) (why string, then *forecast.Comparison, err error) {
	from, err := forecastTopology(before, was)
	if err != nil {
		return "", nil, err
	}
	to, err := forecastTopology(after, is)
	if err != nil {
		return "", nil, err
	}
	users, err := forecast.Survey(from, to, &forecast.Weights{})
	if err != nil {
		return "", nil, err
	}
	o := forecast.Options{Names: names, Most: -1}
	now, err := users.Compare(forecast.Side{States: states}, forecast.Side{States: states}, o)
	if err != nil {
		return "", nil, err
	}
	then, err = users.Compare(forecast.Side{States: states}, forecast.Side{After: true, States: states}, o)
	if err != nil {
		return "", nil, err
	}
	return tooMuch(now, then, limit), then, nil
}

// tooMuch reads what a change moves.
func tooMuch(now, then *forecast.Comparison, limit float64) string {
	var faults []string
	if then.Moved > limit {
		faults = append(faults, fmt.Sprintf("%s of the users would move to another site at once, more than %s (max_space_lost)%s", forecast.Percent(then.Moved), forecast.Percent(limit), largest(then.Sites)))
	}
	empty := map[string]float64{}
	for _, name := range now.Names {
		for _, one := range name.Names {
			empty[one] = name.FailOpen
		}
	}
	for _, name := range then.Names {
		for _, one := range name.Names {
			if was, known := empty[one]; known && name.FailOpen > was+limit {
				faults = append(faults, fmt.Sprintf("for %s of the users of %s no site would be left", forecast.Percent(name.FailOpen-was), one))
			}
		}
	}
	return strings.Join(faults, "; ")
}

// largest words the site that loses most, and the one that gains most.
func largest(sites []forecast.SiteChange) string {
	if len(sites) == 0 {
		return ""
	}
	gain := func(s forecast.SiteChange) float64 { return s.ShareAfter - s.ShareBefore }
	less := slices.MinFunc(sites, func(a, b forecast.SiteChange) int { return cmp.Compare(gain(a), gain(b)) })
	more := slices.MaxFunc(sites, func(a, b forecast.SiteChange) int { return cmp.Compare(gain(a), gain(b)) })
	if gain(less) >= 0 || gain(more) <= 0 {
		return ""
	}
	return fmt.Sprintf(": site %s would go from %s to %s of them, %s from %s to %s", less.Site, forecast.Percent(less.ShareBefore), forecast.Percent(less.ShareAfter), more.Site, forecast.Percent(more.ShareBefore), forecast.Percent(more.ShareAfter))
}

// hold notes a change that is held, and tells everybody.
func (n *node) hold(what string, h *heldChange) {
	h.What, h.Since = what, steady.Now().UTC()
	n.mu.Lock()
	old := n.heldChanges[what]
	if old != nil && old.mark == h.mark {
		h.Since = old.Since
	}
	n.heldChanges[what] = h
	n.mu.Unlock()
	if old != nil && old.mark == h.mark {
		return
	}
	n.log.Warn("held by the breaker; what was served before is served on", "what", what, "why", h.Why)
	n.fleet.Note(history.Event{At: steady.Now(), Kind: history.KindBreaker, Node: n.name, Text: fmt.Sprintf("holds the new %s: %s", what, h.Why)})
}

// unhold forgets a change that is held, and gives it.
func (n *node) unhold(what string) *heldChange {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.heldChanges[what]
	delete(n.heldChanges, what)
	return h
}

// decide carries an order about what is held out: it is put in force, or forgotten. The
// databases are not watched meanwhile.
func (n *node) decide(through bool) {
	databases, topology := n.unhold(heldDatabases), n.unhold(heldTopology)
	if databases != nil {
		if through {
			n.use(databases.places)
		} else {
			n.dropped = databases.mark
			n.log.Warn("the databases that were held are dropped: those in use stay until a file is replaced again")
		}
	}
	if topology != nil && through {
		topology.again()
	}
}

// markOf tells databases from those before.
func markOf(places *geo.DB) string {
	var b strings.Builder
	for _, s := range places.Sources() {
		fmt.Fprintln(&b, s.Path, s.Built, s.Networks, s.Places, s.Bytes)
	}
	return b.String()
}

// changesHeld fills in what is held besides sites.
func (n *node) changesHeld(st *console.Status) {
	n.mu.Lock()
	for _, what := range []string{heldDatabases, heldTopology} {
		if h := n.heldChanges[what]; h != nil {
			st.HeldChanges = append(st.HeldChanges, h.HeldChange)
		}
	}
	n.mu.Unlock()
	for _, h := range st.HeldChanges {
		drop := "gslb breaker drop forgets it"
		if h.What == heldTopology {
			drop = "gslb rollback, or the file as it was, takes it back"
		}
		st.Problems = append(st.Problems, fmt.Sprintf("HELD by the breaker since %s: the new %s not used, what was served before is: %s. gslb breaker allow lets it through, %s",
			moment(h.Since), map[string]string{heldDatabases: "databases are", heldTopology: "topology is"}[h.What], h.Why, drop))
	}
}
