package steer

import (
	"fmt"
	"strings"
)

// sentence is the choice and why: what came before, then how the member was
// picked in its tier, then whether shedding had a part in it.
func (t *Trace) sentence(c Choice, m *MemberTrace) string {
	tier := t.find(int(c.Tier), c.LastResort)
	parts := []string{fmt.Sprintf("%s: %s", m.Site, t.how(tier, m, c))}
	switch {
	case c.FailOpen:
		parts = append(parts, "FAIL OPEN: no member of any tier is in service, so it is chosen as though all were up")
	case c.LastResort:
		parts = append(parts, "LAST RESORT: no member of any tier is in service")
	case c.Tier > 0 && !c.Shed:
		parts = append(parts, fmt.Sprintf("no member of %s is in service", t.before(tier)))
	}
	if c.Shed {
		parts = append(parts, "moved here because others shed load")
	}
	return strings.Join(parts, "; ")
}

// how says how the member was picked in its tier.
func (t *Trace) how(tier *TierTrace, m *MemberTrace, c Choice) string {
	where := fmt.Sprintf("tier %d (%s)", tier.Tier, tier.Label)
	if tier.LastResort {
		where = "the last resort (" + tier.Label + ")"
	}
	able := 0
	for i := range tier.Members {
		if tier.Members[i].verdict == entitled {
			able++
		}
	}
	among := fmt.Sprintf("of the %d in service in %s", able, where)
	if c.FailOpen {
		among = fmt.Sprintf("of the %d in %s", able, where)
	}
	switch {
	case len(tier.Members) == 1:
		return "the only member of " + where
	case able == 1:
		return "the only one " + strings.TrimPrefix(among, "of the 1 ")
	case tier.Spread:
		return fmt.Sprintf("by hash %s, for the client's location is unknown", among)
	case tier.Pick == Hash:
		return "by hash " + among
	case tier.Pick == RoundRobin:
		return "its turn " + among
	case tier.Pick == Weighted:
		return fmt.Sprintf("drawn by weight (%s) %s", percent(m.Share), among)
	case tier.Pick == Load:
		return fmt.Sprintf("drawn by spare capacity (%s) %s", percent(m.Share), among)
	case m.Distance == nil:
		return "first in order " + among
	case c.Shed:
		return fmt.Sprintf("near, at %s, %s", kilometres(*m.Distance), among)
	}
	return fmt.Sprintf("nearest, at %s, %s", kilometres(*m.Distance), among)
}

// before names the tiers in front of this one.
func (t *Trace) before(tier *TierTrace) string {
	if tier.Tier == 2 {
		return "tier 1"
	}
	return fmt.Sprintf("tiers 1 to %d", tier.Tier-1)
}

func kilometres(km float64) string { return fmt.Sprintf("%.0f km", km) }
