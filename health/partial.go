package health

import (
	"maps"
	"slices"
)

// verdicts count on how many sites a vantage point has one, and of how many it says that they are down.
type verdicts struct{ seen, down int }

// count adds what is said in ev to what was counted before (nil: nothing), or takes it off, by sign.
func count(before map[string]verdicts, ev map[string]*evidence, sign int) map[string]verdicts {
	if before == nil {
		before = map[string]verdicts{}
	}
	for _, e := range ev {
		for _, v := range e.votes {
			n := before[v.Vantage]
			if v.State != Unknown {
				n.seen += sign
			}
			if v.State == Down {
				n.down += sign
			}
			if before[v.Vantage] = n; n == (verdicts{}) {
				delete(before, v.Vantage)
			}
		}
	}
	return before
}

// suspects are the vantage points that see all down, three sites at least; see blind.
func suspects(all map[string]verdicts) map[string]bool {
	var out map[string]bool
	for vantage, n := range all {
		if n.seen >= 3 && n.down == n.seen {
			if out == nil {
				out = map[string]bool{}
			}
			out[vantage] = true
		}
	}
	return out
}

// someEvidence gives the evidence on those sites alone whose status may be another
// than in Prev, and puts that of the others into out; nil: all have to be judged.
//
//	in.Touched   a vantage point is or was suspected   -> judged
//	nil          any                                      all
//	some         yes: whether it counts is of all sites   all
//	some         no                                       these, those with an override now or then, those that time changes
func (in *Input) someEvidence(out *States) map[string]*evidence {
	if in.Touched == nil || in.Prev == nil || len(in.Prev.blind) > 0 {
		return nil
	}
	again := maps.Clone(in.Touched)
	for _, site := range in.Prev.restless {
		again[site] = true
	}
	for _, o := range in.Overrides {
		again[o.Site] = true
	}
	maps.DeleteFunc(again, func(site string, _ bool) bool {
		_, known := in.Prev.lookup(site)
		return !known // not in the fleet: what is said of it is ignored
	})
	before := make(map[string]*evidence, len(in.Touched))
	for site := range in.Touched {
		if prev, known := in.Prev.lookup(site); known {
			before[site] = &evidence{votes: prev.Votes}
		}
	}
	ev := gather(in, slices.Collect(maps.Keys(again)))
	out.verdicts = count(maps.Clone(in.Prev.verdicts), before, -1)
	for site, e := range ev {
		if in.Touched[site] {
			count(out.verdicts, map[string]*evidence{site: e}, +1)
		}
	}
	if len(suspects(out.verdicts)) > 0 {
		return nil
	}
	out.Sites = maps.Clone(in.Prev.Sites)
	return ev
}
