package health

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Input is everything that the fleet says, at one store revision. Evaluate reads
// it and keeps nothing of it.
type Input struct {
	Revision  int64      // of the store; copied to the States
	Sites     []string   // the sites to judge; what speaks of others is ignored
	Votes     []Vote     // of live vantage points: a lapsed lease's vote is left out by the caller
	Reports   []Report   // of live balancers, likewise
	Overrides []Override // expired ones may be among them
	Releases  []Release
	// Capacity is each site's configured capacity, used where its reports state none.
	Capacity map[string]float64
	// Rejoin is how each site comes back after it was down, Maintenance when it is to
	// be left alone.
	Rejoin      map[string]Rejoin
	Maintenance map[string][]Window
	// Quorum is how many of the live votes (those that are not Unknown) must say
	// Down to take a site out; Quorums are those of sites that have their own.
	Quorum  Quorum
	Quorums map[string]Quorum
	// Audience is the audience that each vantage point stands for, by its name: users
	// of whose network it sees what they see. AudienceMin is how many vantage points of
	// an audience must agree that a site is down for it; 0: defaultAudienceMin.
	Audience    map[string]string
	AudienceMin map[string]int
	// Prev is the States of the evaluation before, or nil: for Since, and as the
	// memory of the shed controller and of Rejoin. It must be the last one computed, not the last
	// one that was published.
	Prev *States
	Now  time.Time
	// Touched are the sites of which something may be said that was not said when Prev
	// was computed, or no more. Votes and Reports are then of these alone, and all else but the overrides is as it was.
	// nil: all are. It spares work and changes nothing.
	Touched map[string]bool
}

// Evaluate judges every site of in. It is pure: the same Input gives the same
// States, in whatever order its slices are, and it never panics, whatever they
// hold. Stale is left false: whether the store can be reached is not known here.
//
// The first row that holds decides the state:
//
//	override   reports               votes that count              -> State     Draining
//	down       any                   any                              Down      false
//	up         any                   any                              Up        false
//	drain      as the rows below     as the rows below                as below  true
//	—          no healthy server¹    any                              Down      false
//	—          any                   Down reach the quorum            Down      false
//	—          any                   more than half say Up            Up²       false
//	—          any                   some, and neither of the above   Degraded  false
//	—          some healthy server   none                             Up²       false
//	—          none                  none                             Unknown   false
//
// ¹ Of at least one server in all, as each of the site's live balancers that has
// any says: one balancer with a healthy server keeps the site in.
// ² Degraded instead, if fewer than half of the servers that are reported are healthy.
//
// A vote counts unless it is Unknown or its vantage point is discounted: one that
// sees every site it votes on down, three at least, while another one, which
// does not see all down, says that one of these is not. It has lost its own network,
// not the sites. (See blind.)
//
// A site that is not down can be so for an audience alone: see elsewhere.
//
// A site in maintenance drains likewise, unless it is forced up or down. How one that
// was down comes back stands at Rejoin, how Shed is steered at steerShed.
func Evaluate(in Input) *States {
	out := &States{Revision: in.Revision, At: in.Now, Releases: releases(in.Releases)}
	ev := in.someEvidence(out)
	if ev == nil {
		out.Sites = make(map[string]Status, len(in.Sites))
		ev = gather(&in, in.Sites)
		out.verdicts = count(nil, ev, +1)
		out.blind = blind(ev, out.verdicts)
	}
	for site, e := range ev {
		e.blind = out.blind
		prev, known := in.Prev.lookup(site)
		st := Status{
			Site: site, Override: e.override, Votes: e.votes, Reports: e.reports,
			Draining: e.override != nil && e.override.Kind == Drain,
			Since:    in.Now,
		}
		st.State, st.Why = e.judge(in.quorum(site))
		st.Generations = e.generations()
		if st.State.Available() {
			st.Elsewhere = e.elsewhere(&in)
		}
		if known && prev.State == st.State && !prev.Since.IsZero() {
			st.Since = prev.Since
		}
		st.Load, st.Capacity = e.load(in.Capacity[site])
		next := in.Rejoin[site].rejoin(prev, known, &st, in.Now)
		next = Sooner(next, st.order(in.Maintenance[site], in.Now))
		if !next.IsZero() || e.override != nil {
			out.restless = append(out.restless, site)
		}
		out.Next = Sooner(out.Next, next)
		st.Utilization, st.Shed = steerShed(prev, st)
		out.Sites[site] = st
	}
	slices.Sort(out.restless)
	return out
}

func (in *Input) quorum(site string) Quorum {
	if q, ok := in.Quorums[site]; ok {
		return q
	}
	return in.Quorum
}

// order applies what people have planned or ordered beside the state: windows of
// maintenance, and a share. It returns when that changes.
func (s *Status) order(windows []Window, now time.Time) (next time.Time) {
	if s.Held != "" {
		s.Why += "; held, " + s.Held + ", until " + s.HeldUntil.UTC().Format(time.RFC3339)
	}
	o := s.Override
	if o != nil && (o.Kind == ForceUp || o.Kind == ForceDown) {
		return time.Time{}
	}
	w, until, next := openWindow(windows, now)
	if w != nil {
		s.Draining = true
		s.Why = "in maintenance until " + until.UTC().Format(time.RFC3339) + inWords(w.Why) + "; " + s.Why
	}
	if o != nil && o.Kind == Share {
		share, step := ramp(sane(o.From), min(sane(o.Share), 1), o.Since, o.Over, now)
		s.Withheld = 1 - (1-s.Withheld)*share
		s.Why = fmt.Sprintf("takes %.3g %% of its new users, as ordered %s; %s", 100*share, o.words(), s.Why)
		next = Sooner(next, step)
	}
	return next
}

func inWords(why string) string {
	if why == "" {
		return ""
	}
	return " (" + clip(why) + ")"
}

// lookup returns what s says of a site, and whether it says anything.
func (s *States) lookup(site string) (Status, bool) {
	if s == nil {
		return Status{}, false
	}
	st, ok := s.Sites[site]
	return st, ok
}

// evidence is everything that speaks of one site, once each and sorted.
type evidence struct {
	votes    []Vote          // one for each vantage point, sorted by it
	blind    map[string]bool // vantage points that are discounted, at all sites
	reports  []Report        // one for each node, sorted by it
	override *Override       // in force, or nil
	kept     bool            // votes and reports are those of Prev
}

// gather sorts the input by site. Of two statements of one speaker the later
// counts; what is equally late is told apart by content, so that the order of
// the input never matters.
func gather(in *Input, sites []string) map[string]*evidence {
	ev := make(map[string]*evidence, len(sites))
	all := make([]evidence, len(sites))
	for i, site := range sites {
		if prev, known := in.Prev.lookup(site); known && in.Touched != nil && !in.Touched[site] {
			all[i].votes, all[i].reports, all[i].kept = prev.Votes, prev.Reports, true
		}
		ev[site] = &all[i]
	}
	for _, v := range in.Votes {
		if e := ev[v.Site]; e != nil && !e.kept {
			if int(v.State) >= len(stateNames) {
				v.State = Unknown // of a newer version perhaps: no verdict that we understand
			}
			e.votes = append(e.votes, v)
		}
	}
	for _, r := range in.Reports {
		if e := ev[r.Site]; e != nil && !e.kept {
			r.Load, r.Capacity = sane(r.Load), sane(r.Capacity)
			r.Healthy, r.Total = max(r.Healthy, 0), max(r.Total, 0)
			r.Servers = slices.Clone(r.Servers)
			e.reports = append(e.reports, r)
		}
	}
	for _, o := range in.Overrides {
		e := ev[o.Site]
		if e == nil || o.Expired(in.Now) || !o.Kind.Known() {
			continue
		}
		if e.override == nil || compareOverrides(o, *e.override) > 0 {
			e.override = &o
		}
	}
	for _, e := range ev {
		if e.kept {
			continue
		}
		e.votes = latest(e.votes, func(v Vote) string { return v.Vantage }, compareVotes)
		e.reports = latest(e.reports, func(r Report) string { return r.Node }, compareReports)
	}
	return ev
}

// latest keeps of each speaker's statements the greatest by order, and sorts
// them by speaker.
func latest[T any](all []T, speaker func(T) string, order func(a, b T) int) []T {
	slices.SortFunc(all, func(a, b T) int {
		return cmp.Or(cmp.Compare(speaker(a), speaker(b)), order(b, a))
	})
	return slices.CompactFunc(all, func(a, b T) bool { return speaker(a) == speaker(b) })
}

func compareVotes(a, b Vote) int {
	return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.State, b.State), cmp.Compare(a.Detail, b.Detail), cmp.Compare(a.Generation, b.Generation))
}

func compareReports(a, b Report) int {
	return cmp.Or(
		a.At.Compare(b.At),
		cmp.Compare(a.Healthy, b.Healthy), cmp.Compare(a.Total, b.Total),
		cmp.Compare(a.Load, b.Load), cmp.Compare(a.Capacity, b.Capacity),
		cmp.Compare(a.Connections, b.Connections), cmp.Compare(a.Generation, b.Generation),
		slices.CompareFunc(a.Servers, b.Servers, compareServers),
	)
}

func compareServers(a, b Server) int {
	return cmp.Or(
		cmp.Compare(a.Frontend, b.Frontend), cmp.Compare(a.Address, b.Address),
		cmp.Compare(a.State, b.State), cmp.Compare(a.Role, b.Role),
		compareBools(a.InService, b.InService), compareBools(a.Draining, b.Draining),
		cmp.Compare(a.Connections, b.Connections), cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Detail, b.Detail),
	)
}

func compareOverrides(a, b Override) int {
	return cmp.Or(
		a.Since.Compare(b.Since), cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Who, b.Who), cmp.Compare(a.Why, b.Why), a.Until.Compare(b.Until),
		cmp.Compare(a.Share, b.Share), cmp.Compare(a.From, b.From), cmp.Compare(a.Over, b.Over),
	)
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// blind returns the vantage points whose votes are discounted. For each vantage
// point, over the sites it has a verdict on:
//
//	sites   all down   another that is not all-down says one of them is up -> discounted
//	0 to 2  any        any                                                    no (too few to tell a site's fault from its own)
//	3+      no         any                                                    no
//	3+      yes        no                                                     no (nobody sees better)
//	3+      yes        yes                                                    yes
//
// Several may be discounted at once: what reaches even one site has shown that
// its own network works, which nothing shows for the others.
func blind(ev map[string]*evidence, all map[string]verdicts) map[string]bool {
	suspect := suspects(all)
	if len(suspect) == 0 {
		return nil
	}
	out := map[string]bool{}
	for _, e := range ev {
		alive := slices.ContainsFunc(e.votes, func(v Vote) bool { return v.State == Up || v.State == Degraded })
		for _, v := range e.votes {
			if suspect[v.Vantage] && alive && v.State != Unknown {
				out[v.Vantage] = true
			}
		}
	}
	return out
}
