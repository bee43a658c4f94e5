package steer

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gslb/geo"
	"gslb/health"
)

// Trace is the reasons of one decision, for people and for programs. The code
// that decides fills it: first Classify or Explain, which empty it before, then
// Choose. The zero Trace is ready to be filled.
type Trace struct {
	Policy string       `json:"policy"`
	Client netip.Addr   `json:"client,omitzero"` // as asked: the address, or the network that stands for it
	Place  geo.Place    `json:"place"`
	Within netip.Prefix `json:"within,omitzero"` // longest network of the rules that contains the client
	Cohort uint32       `json:"cohort"`
	// Audience is the one that the client is in; "": none.
	Audience string      `json:"audience,omitempty"`
	Rules    []RuleTrace `json:"rules"` // those tried; the last one matched
	Tiers    []TierTrace `json:"tiers"` // of the rule that matched, then the last resort's

	Released string       `json:"released,omitempty"` // content generation that sites must serve
	Revision int64        `json:"revision"`           // of the States
	Stale    bool         `json:"stale"`
	Draws    []string     `json:"draws,omitempty"` // what hash or chance decided, in order
	Choice   *ChoiceTrace `json:"choice,omitempty"`
	Sentence string       `json:"sentence"` // the choice and why, in one sentence

	level *level // that answered
	alone bool   // what is down for the audience alone had to count as up
}

// RuleTrace is one rule that was tried.
type RuleTrace struct {
	Rule     int    `json:"rule"`               // from 1, as people count
	Implicit bool   `json:"implicit,omitempty"` // the last one, which no one wrote
	Matched  bool   `json:"matched"`
	Why      string `json:"why"` // what matched, or the field that did not
}

// TierTrace is one tier.
type TierTrace struct {
	Tier       int    `json:"tier"` // from 1
	LastResort bool   `json:"last_resort,omitempty"`
	Label      string `json:"label"`
	Pick       Pick   `json:"pick"`
	Spread     bool   `json:"spread,omitempty"` // nearest without a place to measure from: picked as hash does
	Min        int    `json:"min,omitempty"`    // members that must be in service for the tier to count; 0: one
	// Vantage is the vantage point whose times order the members of a tier that picks by latency,
	// how far it is from the client, and when it wrote them; "": none stands for the client, they are ordered by distance.
	Vantage   string        `json:"vantage,omitempty"`
	VantageKm float64       `json:"vantage_km,omitempty"`
	Measured  time.Time     `json:"measured,omitzero"`
	Members   []MemberTrace `json:"members"` // in the order of preference
}

// MemberTrace is one member of a tier.
type MemberTrace struct {
	Site     string       `json:"site"`
	State    health.State `json:"state"`
	Draining bool         `json:"draining,omitempty"`
	Weight   float64      `json:"weight"`
	Distance *float64     `json:"distance_km,omitempty"` // where nearest measured it
	Bias     float64      `json:"bias_km,omitempty"`
	RTT      *float64     `json:"rtt_ms,omitempty"` // where latency goes by a measured time
	Load     float64      `json:"load"`
	Capacity float64      `json:"capacity"`         // 0: unknown
	Shed     float64      `json:"shed"`             // of its users, with what is withheld from it
	Serves   []string     `json:"serves,omitempty"` // content generations
	Held     string       `json:"held,omitempty"`   // why it is not given yet after it was down
	Share    float64      `json:"share"`            // of the cohort's users, in the long run
	Chosen   bool         `json:"chosen,omitempty"`
	Verdict  string       `json:"verdict"` // why it may or may not be given
	Why      string       `json:"why"`     // why its state is what it is

	verdict verdict
}

// ChoiceTrace is the Choice with its name.
type ChoiceTrace struct {
	Site string `json:"site"`
	// Sites are all that the answer gives, Site first; empty: it is alone.
	Sites      []string `json:"sites,omitempty"`
	Tier       int      `json:"tier"` // from 1
	Bits       uint8    `json:"bits"`
	FailOpen   bool     `json:"fail_open"`
	LastResort bool     `json:"last_resort"`
	Shed       bool     `json:"shed"`
}

// All are the sites of the answer, Site first.
func (c *ChoiceTrace) All() []string {
	if len(c.Sites) == 0 {
		return []string{c.Site}
	}
	return c.Sites
}

// rule adds a rule that is being tried, and returns where to say why.
func (t *Trace) rule(i int, implicit bool) *string {
	t.Rules = append(t.Rules, RuleTrace{Rule: i + 1, Implicit: implicit})
	return &t.Rules[len(t.Rules)-1].Why
}

// matched marks the last rule added.
func (t *Trace) matched() {
	r := &t.Rules[len(t.Rules)-1]
	r.Matched = true
	if r.Implicit {
		r.Why = "no rule matched: the nearest of all sites"
	}
}

// tier adds a tier of the rule, as it was ranked.
func (t *Trace) tier(target *Target, r *tierRank, sites []Site, p *geo.Place, lastResort bool) {
	tier := r.of(target)
	t.plain(&tier, sites, lastResort)
	members := t.Tiers[len(t.Tiers)-1].Members
	for i, m := range tier.Members {
		if km, ok := distance(&sites[m.Site], p); ok && target.Pick.ordered() {
			members[i].Distance, members[i].Bias = &km, sites[m.Site].Bias
		}
	}
}

// plain adds a tier of a plan.
func (t *Trace) plain(tier *Tier, sites []Site, lastResort bool) {
	tt := TierTrace{Tier: 1, LastResort: lastResort, Label: tier.Label, Pick: tier.Pick, Spread: tier.Spread, Min: tier.Min}
	for _, other := range t.Tiers {
		if other.LastResort == lastResort {
			tt.Tier++
		}
	}
	for _, m := range tier.Members {
		tt.Members = append(tt.Members, MemberTrace{Site: sites[m.Site].Name, Weight: m.Weight})
	}
	t.Tiers = append(t.Tiers, tt)
}

// find returns a tier by its index in Plan.Tiers or Plan.LastResort.
func (t *Trace) find(tier int, lastResort bool) *TierTrace {
	for i := range t.Tiers {
		if t.Tiers[i].LastResort == lastResort && t.Tiers[i].Tier == tier+1 {
			return &t.Tiers[i]
		}
	}
	return nil
}

// judged keeps the latest verdict on a member: that of the level which answered,
// or of the last one that asked.
func (t *Trace) judged(tier, member int, l *level, v verdict) {
	t.find(tier, l.lastResort).Members[member].verdict = v
}

// few marks the members that would do, of a tier that needs more of them.
func (t *Trace) few(tier int) {
	members := t.find(tier, false).Members
	for i := range members {
		if members[i].verdict == entitled {
			members[i].verdict = isFew
		}
	}
}

// drew says what hash, draw or turn decided in a stage.
func (t *Trace) drew(st *stage, x uint64, ask *Ask) {
	what := ""
	switch st.kind {
	case hashed, hashedByWeight, hashedShedding:
		what = fmt.Sprintf("rendezvous hash of %s", clientNetwork(ask.Client))
	case inTurn, turned:
		what = fmt.Sprintf("turn %d", uint32(x))
	case drawn:
		what = fmt.Sprintf("draw %.3f for %s in period %d", float64(uint32(x))/(1<<32), clientNetwork(ask.Client), ask.Period)
	}
	if st.spill > 0 {
		what = strings.TrimPrefix(what+"; ", "; ")
		stays := "stays in"
		if uint32(x>>32) < st.spill {
			stays = "goes on from"
		}
		what += fmt.Sprintf("%s tier %d, which sheds %s", stays, st.tier+1, percent(float64(st.spill)/(1<<32)))
	}
	if what != "" {
		t.Draws = append(t.Draws, what)
	}
}

// clientNetwork is what hashes and draws know of the client.
func clientNetwork(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	width := networkBits6
	if a.Is4() {
		width = networkBits4
	}
	if p, err := a.Prefix(width); err == nil && p.IsValid() {
		return p.String()
	}
	return "an unknown client"
}

// trace is Choose with reasons. It filters the one plan again with the same
// code that filtered it for Live, which tells its verdicts this time.
func (l *Live) trace(cohort uint32, ask Ask, t *Trace) Choice {
	p := l.plans[cohort]
	l.prepare(p, t)
	t.Client = ask.Client
	f := filter{views: l.views, keys: l.c.keys, answers: l.c.answers}
	f.stages = make([]stage, 1)
	f.plan(p, 0, t)
	choice := f.choose(0, &ask, l.c.seed, t)
	// The sets of this one plan, by their numbers among all.
	if choice.Set != 0 {
		choice.Set = l.sets.numbers[l.sets.key(f.sets.lists[choice.Set])]
	}
	f.expected(0, func(st *stage, e entry, share float64) {
		sites := []int32{e.site}
		if e.set != 0 {
			sites = f.sets.lists[e.set]
		}
		for _, site := range sites {
			t.member(int(st.tier), st.last, l.c.sites[site].Name).Share += share / float64(len(sites))
		}
	})
	var all []*MemberTrace
	for _, site := range l.Sites(choice) {
		all = append(all, t.member(int(choice.Tier), choice.LastResort, l.Site(site).Name))
		all[len(all)-1].Chosen = true
	}
	chosen := all[0]
	t.verdicts()
	t.Choice = &ChoiceTrace{Site: chosen.Site, Tier: int(choice.Tier) + 1, Bits: choice.Bits,
		FailOpen: choice.FailOpen, LastResort: choice.LastResort, Shed: choice.Shed}
	if len(all) > 1 {
		for _, m := range all {
			t.Choice.Sites = append(t.Choice.Sites, m.Site)
		}
	}
	t.Sentence = t.sentence(choice, all)
	return choice
}

// prepare fills in the states, and the tiers unless Classify has.
func (l *Live) prepare(p *Plan, t *Trace) {
	t.Policy = l.c.name
	t.Draws, t.alone = nil, false
	if len(t.Tiers) != len(p.Tiers)+len(p.LastResort) {
		t.Tiers = nil
		for i := range p.Tiers {
			t.plain(&p.Tiers[i], l.c.sites, false)
		}
		for i := range p.LastResort {
			t.plain(&p.LastResort[i], l.c.sites, true)
		}
	}
	for i := range p.Tiers {
		t.time(i, false, &p.Tiers[i], l.c.sites)
	}
	for i := range p.LastResort {
		t.time(i, true, &p.LastResort[i], l.c.sites)
	}
	if l.states != nil {
		t.Revision, t.Stale = l.states.Revision, l.states.Stale
		if t.Released = ""; l.c.release != "" {
			t.Released = l.states.Released(l.c.release)
		}
	}
	for i := range t.Tiers {
		for j := range t.Tiers[i].Members {
			m := &t.Tiers[i].Members[j]
			st := l.states.Site(m.Site).For(t.Audience)
			m.State, m.Draining, m.Shed, m.Held = st.State, st.Draining, share(st.Away()), st.Held
			m.Serves = st.Generations
			m.Load, m.Capacity = finite(st.Load), finite(st.Capacity)
			m.Why, m.Share, m.Chosen, m.verdict = why(&st), 0, false, notAsked
		}
	}
}

// time puts the members of a tier that picks by Latency into the order of the
// plan, with the times that it goes by.
func (t *Trace) time(tier int, lastResort bool, of *Tier, sites []Site) {
	if of.Pick != Latency {
		return
	}
	tt := t.find(tier, lastResort)
	tt.Vantage, tt.VantageKm, tt.Measured = "", 0, time.Time{}
	if of.Times != nil {
		tt.Vantage, tt.VantageKm, tt.Measured, tt.Spread = of.Times.Vantage, of.VantageKm, of.Times.At, false
	}
	before := slices.Clone(tt.Members)
	for i, m := range of.Members {
		name := sites[m.Site].Name
		if at := slices.IndexFunc(before, func(x MemberTrace) bool { return x.Site == name }); at >= 0 {
			tt.Members[i] = before[at]
		}
		tt.Members[i].RTT = nil
		if of.Times != nil {
			if ms, ok := of.Times.RTT[name]; ok {
				tt.Members[i].RTT = &ms
			}
		}
	}
}

// finite keeps out what JSON cannot say.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}

// why is the reason of a site's state, an operator's order first.
func why(st *health.Status) string {
	o := st.Override
	if o == nil {
		return st.Why
	}
	until := ""
	if !o.Until.IsZero() {
		until = " until " + o.Until.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s by %s%s: %s", o.Kind.Past(), o.Who, until, o.Why)
}

func (t *Trace) member(tier int, lastResort bool, site string) *MemberTrace {
	tt := t.find(tier, lastResort)
	for i := range tt.Members {
		if tt.Members[i].Site == site {
			return &tt.Members[i]
		}
	}
	return nil
}

// verdicts puts the verdict on each member into words.
func (t *Trace) verdicts() {
	for i := range t.Tiers {
		for j := range t.Tiers[i].Members {
			m := &t.Tiers[i].Members[j]
			m.Verdict = m.words(&t.Tiers[i], t.Released)
		}
	}
}

func (m *MemberTrace) words(tier *TierTrace, released string) string {
	switch m.verdict {
	case isDown:
		return "down"
	case isDraining:
		return "draining"
	case isHeld:
		return "up again, and held: " + m.Held
	case isAsked:
		return "asked already, in an earlier tier"
	case isBehind:
		return fmt.Sprintf("held, for it serves %s and %s is released", generations(m.Serves), released)
	case isFew:
		return fmt.Sprintf("in service, but the tier needs %d", tier.Min)
	case isOrdered:
		return "avoided, by an operator's order"
	case isZero:
		return "weight 0: only when nothing else is available"
	case notAsked:
		return "not needed"
	}
	switch {
	case m.Chosen:
		return "chosen"
	case m.Share > 0:
		return "takes its share"
	case tier.Pick == Latency && tier.Vantage != "" && m.RTT == nil:
		return "not measured"
	case tier.Pick == Latency && tier.Vantage != "" && tier.besideChosen(m):
		return "as quick, but farther"
	case tier.Pick == Latency && tier.Vantage != "":
		return "slower"
	case tier.Pick.ordered() && !tier.Spread:
		return "farther"
	case tier.Pick == Load && m.Shed < 1:
		return "no spare capacity"
	}
	return "full"
}

// besideChosen tells whether the time of m counts as much as that of a member that was chosen.
func (tt *TierTrace) besideChosen(m *MemberTrace) bool {
	return slices.ContainsFunc(tt.Members, func(x MemberTrace) bool {
		return x.Chosen && x.RTT != nil && tt.least(*x.RTT) == tt.least(*m.RTT)
	})
}

// generations names what a site serves.
func generations(all []string) string {
	if len(all) == 0 {
		return "an unknown generation"
	}
	return strings.Join(all, " and ")
}

// percent is the share with as many digits as people want; a little is not nothing.
func percent(share float64) string {
	if share > 0 && share < 0.0005 {
		return "< 0.1 %"
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", 100*share), ".0") + " %"
}
