package steer

import (
	"fmt"
	"slices"
	"strings"
)

// sentence is the choice and why: how the member was picked in its tier, why
// that tier, and whether shedding had a part in it.
func (t *Trace) sentence(c Choice, all []*MemberTrace) string {
	tier := t.find(int(c.Tier), c.LastResort)
	names := all[0].Site
	for _, m := range all[1:] {
		names += ", " + m.Site
	}
	parts := []string{fmt.Sprintf("%s: %s", names, t.how(tier, all, c))}
	if why := t.whyTier(tier, c); why != "" {
		parts = append(parts, why)
	}
	if t.alone {
		parts = append(parts, fmt.Sprintf("no site is in service for the audience %s, so those count that are down for it alone", t.Audience))
	}
	if c.Shed && len(all) > 1 {
		parts = append(parts, "others are left out because they shed load")
	} else if c.Shed {
		parts = append(parts, "moved here because others shed load")
	}
	return strings.Join(parts, "; ")
}

// how says how the members were picked in their tier.
func (t *Trace) how(tier *TierTrace, all []*MemberTrace, c Choice) string {
	m := all[0]
	where := fmt.Sprintf("tier %d (%s)", tier.Tier, tier.Label)
	if tier.LastResort {
		where = fmt.Sprintf("the last resort (%s)", tier.Label)
	}
	able := 0
	for i := range tier.Members {
		if tier.Members[i].verdict == entitled {
			able++
		}
	}
	what := t.level.noun(able == len(tier.Members)) + where
	among := fmt.Sprintf("of the %d %s", able, what)
	switch {
	case len(tier.Members) == 1:
		return "the only member of " + where
	case able == 1:
		return "the only one " + what
	case len(all) == able:
		return fmt.Sprintf("all %d %s", able, what)
	case len(all) > 1:
		return severally(tier, all, among)
	case tier.Spread:
		return fmt.Sprintf("by hash %s, for there is no location to measure from", among)
	case tier.Pick == Hash:
		return "by hash " + among
	case tier.Pick == RoundRobin:
		return "its turn, " + among
	case tier.Pick == Weighted:
		return fmt.Sprintf("drawn by weight (%s) %s", percent(m.Share), among)
	case tier.Pick == Load:
		return fmt.Sprintf("drawn by spare capacity (%s) %s", percent(m.Share), among)
	case tier.Pick == Latency && m.RTT != nil && c.Shed:
		return fmt.Sprintf("next by measured time, %s from %s, %s", milliseconds(*m.RTT), tier.Vantage, among)
	case tier.Pick == Latency && m.RTT != nil && tier.asQuick(m) > 1:
		return fmt.Sprintf("the nearest of the %d whose times are alike, %s from %s, %s", tier.asQuick(m), milliseconds(*m.RTT), tier.Vantage, among)
	case tier.Pick == Latency && m.RTT != nil:
		return fmt.Sprintf("the least time, %s from %s, %s", milliseconds(*m.RTT), tier.Vantage, among)
	case tier.Pick == Latency && tier.Vantage != "":
		return fmt.Sprintf("the nearest not measured from %s, %s", tier.Vantage, among)
	case m.Distance == nil:
		return "first in order " + among
	case c.Shed:
		return fmt.Sprintf("next in order, at %s, %s", kilometres(*m.Distance), among)
	}
	return fmt.Sprintf("nearest, at %s, %s", kilometres(*m.Distance), among)
}

// asQuick counts the members that may be given and whose times count as much as m's, with m.
func (tt *TierTrace) asQuick(m *MemberTrace) (n int) {
	for i := range tt.Members {
		if x := &tt.Members[i]; x.verdict == entitled && x.RTT != nil && tt.least(*x.RTT) == tt.least(*m.RTT) {
			n++
		}
	}
	return n
}

// least is the least time of those that count as much as ms: of its group, as byTimes makes them.
func (tt *TierTrace) least(ms float64) float64 {
	var all []float64
	for i := range tt.Members {
		if x := tt.Members[i].RTT; x != nil {
			all = append(all, *x)
		}
	}
	slices.Sort(all)
	least := ms
	for i, x := range all {
		if i == 0 || x > asQuickAs(least) {
			least = x
		}
		if x >= ms {
			break
		}
	}
	return least
}

// severally says how several members were picked together.
func severally(tier *TierTrace, all []*MemberTrace, among string) string {
	switch {
	case tier.Spread:
		return fmt.Sprintf("the first by hash, for there is no location to measure from, and who follow on the ring, %s", among)
	case tier.Pick == Hash:
		return fmt.Sprintf("the first by hash and who follow on the ring, %s", among)
	case tier.Pick == RoundRobin:
		return fmt.Sprintf("the turn of %d, %s", len(all), among)
	case tier.Pick == Weighted:
		return fmt.Sprintf("%d drawn together by weight %s", len(all), among)
	case tier.Pick == Load:
		return fmt.Sprintf("%d drawn together by spare capacity %s", len(all), among)
	}
	if tier.Vantage != "" {
		return fmt.Sprintf("the %d first by the times measured from %s %s", len(all), tier.Vantage, among)
	}
	return fmt.Sprintf("the %d first in order of distance %s", len(all), among)
}

// noun says what the members are that the level takes, of a tier of which it
// takes all or not.
func (l *level) noun(all bool) string {
	weight := ""
	if l.zero {
		weight = "of weight 0 "
	}
	switch {
	case l.class == inService:
		return weight + "in service in "
	case l.class == upAndHeld:
		return weight + "up, but held, in "
	case all:
		return weight + "in "
	case l.class == notOrdered:
		return weight + "not kept away by an operator in "
	case l.class == available:
		return weight + "drained but up in "
	}
	return weight + "in "
}

// whyTier says why an answer comes from no earlier tier or level.
func (t *Trace) whyTier(tier *TierTrace, c Choice) string {
	none := "no member of any tier is in service"
	if c.FailOpen && slices.ContainsFunc(t.Tiers, func(t TierTrace) bool { return t.LastResort }) {
		none = "no member of any tier nor of the last resort is in service"
	}
	switch {
	case c.LastResort:
		return "LAST RESORT: " + none
	case c.FailOpen && t.level.class == notOrdered:
		return "FAIL OPEN: " + none + ", so it is chosen as though all were up"
	case c.FailOpen && t.level.class == available:
		return "FAIL OPEN: an operator keeps users away from every member, so it is chosen among those that are up"
	case c.FailOpen:
		return "FAIL OPEN: an operator forced every member down, so it is chosen as though all were up"
	case t.level.class == upAndHeld && t.Released != "":
		return fmt.Sprintf("no other member of any tier is in service and serves %s, so those count that were to wait", t.Released)
	case t.level.class == upAndHeld:
		return "no other member of any tier is in service, so those count that were to wait after they were down"
	case !t.level.min && !t.level.zero && t.needsMore():
		return "no tier has as many members in service as it needs, so the first counts that has any"
	case t.level.zero:
		return "only members of weight 0 are in service"
	case c.Tier == 0 || c.Shed:
		return ""
	}
	return t.passedOver(int(c.Tier))
}

// needsMore tells whether a tier was passed over for having too few members in service.
func (t *Trace) needsMore() bool {
	return slices.ContainsFunc(t.Tiers, func(t TierTrace) bool { return t.Min > 1 })
}

// passedOver says why the tiers before this one did not answer.
func (t *Trace) passedOver(tier int) string {
	which, weight := "tier 1", ""
	switch {
	case tier == 2:
		which = "tiers 1 and 2"
	case tier > 2:
		which = fmt.Sprintf("tiers 1 to %d", tier)
	}
	for i := range tier {
		for _, m := range t.find(i, false).Members {
			if m.verdict == isZero {
				weight = " with a weight"
			}
		}
	}
	if few := t.fewIn(tier); few != "" {
		return few
	}
	return fmt.Sprintf("no member%s of %s is in service", weight, which)
}

// fewIn names the first of the tiers before this one that has members in service,
// but fewer than it needs; "": none.
func (t *Trace) fewIn(tier int) string {
	for i := range tier {
		tt, n := t.find(i, false), 0
		for _, m := range tt.Members {
			if m.verdict == isFew {
				n++
			}
		}
		if n > 0 {
			return fmt.Sprintf("tier %d (%s) has %d in service of the %d that it needs", i+1, tt.Label, n, tt.Min)
		}
	}
	return ""
}

func milliseconds(ms float64) string { return fmt.Sprintf("%.3g ms", ms) }

func kilometres(km float64) string { return fmt.Sprintf("%.0f km", km) }
