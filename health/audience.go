package health

import (
	"fmt"
	"strings"
)

// defaultAudienceMin is how many vantage points of an audience must agree.
const defaultAudienceMin = 2

// elsewhere finds the audiences for which the site is down though it is not for all:
// a fault between their network and the site.
//
//	votes that count of the audience   of others           -> down for the audience
//	fewer than its minimum             any                    no
//	one is not Down                    any                    no
//	all Down                           none is Up, Degraded   no: nobody sees that it is up
//	all Down                           one is                 yes
//	any, and it is forced up           any                    no
//
// Votes count as in Evaluate. What takes the site from everybody is judged before.
func (e *evidence) elsewhere(in *Input) map[string]string {
	if len(in.Audience) == 0 || e.override != nil && e.override.Kind == ForceUp {
		return nil
	}
	type side struct {
		count, down int
		first       *Vote
	}
	sides := map[string]*side{}
	serving := map[string]string{} // audience -> one of it that sees the site
	for i, v := range e.votes {
		if v.State == Unknown || e.blind[v.Vantage] {
			continue
		}
		audience := in.Audience[v.Vantage]
		s := sides[audience]
		if s == nil {
			s = &side{}
			sides[audience] = s
		}
		s.count++
		if v.State != Down {
			if serving[audience] == "" {
				serving[audience] = v.Vantage
			}
			continue
		}
		if s.down++; s.first == nil {
			s.first = &e.votes[i]
		}
	}
	var out map[string]string
	for audience, s := range sides {
		least := in.AudienceMin[audience]
		if least <= 0 {
			least = defaultAudienceMin
		}
		if audience == "" || s.count < least || s.down < s.count || len(serving) == 0 {
			continue // what serves is another audience's, for none of this one says so
		}
		if out == nil {
			out = map[string]string{}
		}
		out[audience] = fmt.Sprintf("down for the audience %s alone: its %s %s down%s, but not %s%s", clip(audience),
			plural(s.count, "vantage point", "vantage points"), map[bool]string{true: "says", false: "say"}[s.count == 1],
			detail(s.first), e.seers(in, audience), e.passive())
	}
	return out
}

// seers names those outside of the audience that see the site.
func (e *evidence) seers(in *Input, audience string) string {
	var names []string
	for _, v := range e.votes {
		if (v.State == Up || v.State == Degraded) && !e.blind[v.Vantage] && in.Audience[v.Vantage] != audience {
			names = append(names, v.Vantage)
		}
	}
	if len(names) > 3 {
		return fmt.Sprintf("%s and %d others", strings.Join(names[:2], ", "), len(names)-2)
	}
	return strings.Join(names, ", ")
}

// passive is what the site's own balancers say.
func (e *evidence) passive() string {
	healthy, total, reporters := e.servers()
	if total == 0 {
		return ""
	}
	return fmt.Sprintf(", and %d of its %s healthy, as %s", healthy, plural(total, "server is", "servers are"), sayers(reporters, "balancer"))
}
