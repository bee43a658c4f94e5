package steer

// Portion is a part of a cohort's users and how it comes to its site.
type Portion struct {
	Site  int32   // index in the sites given to Compile
	Share float64 // of the cohort's users
	// Set is the sites of the answer, this one among them, each of which has the same share of
	// its users; nil: it is alone. It must not be changed.
	Set        []int32
	Tier       int8 // as Choice has it
	FailOpen   bool
	LastResort bool
}

// Expected tells add where the users of a cohort are sent in the long run: over all
// client networks, periods and turns, of which Choose decides one. The shares of a
// cohort add up to 1; a site can occur more than once. A cohort that does not exist
// is treated as cohort 0.
func (l *Live) Expected(cohort uint32, add func(Portion)) {
	if int64(cohort) >= int64(l.cohorts) {
		cohort = 0
	}
	l.expected(cohort, func(st *stage, e entry, share float64) {
		p := Portion{Site: e.site, Share: share, Tier: st.tier, FailOpen: st.failOpen, LastResort: st.last}
		if e.set == 0 {
			add(p)
			return
		}
		p.Set = l.sets.lists[e.set]
		p.Share /= float64(len(p.Set))
		for _, p.Site = range p.Set {
			add(p)
		}
	})
}
