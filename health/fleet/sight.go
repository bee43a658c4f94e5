package fleet

import (
	"time"

	"gslb/health"
)

// Blind withdraws this node's votes: it cannot see its own control targets, so what
// it sees of the sites says nothing of them. Everybody gets to know why.
func (f *Fleet) Blind(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(why) > maxProblem {
		why = why[:maxProblem]
	}
	was := f.self.Blind
	if f.self.Blind = why; was != "" {
		return
	}
	f.speak()
}

// Sees gives the votes back. Those of down that began after since are not among
// them; they wait for new probes.
func (f *Fleet) Sees(since time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.self.Blind == "" {
		return
	}
	f.self.Blind = ""
	for site, v := range f.votes {
		if v.State == health.Down && v.Since.After(since) {
			v.State, v.Since = health.Unknown, f.now()
			f.votes[site] = v
		}
	}
	f.speak()
}

// speak publishes this node's record and its votes anew. The caller holds f.mu.
func (f *Fleet) speak() {
	now := f.now()
	f.news.judge = true
	f.offer(f.selfKey(), f.self, voteGap, now)
	for site, v := range f.votes {
		f.offer(keyOf(kindVote, site, f.cfg.Node), f.said(v), voteGap, now)
	}
	f.wake()
}

// said is a vote as it is published. The caller holds f.mu.
func (f *Fleet) said(v health.Vote) health.Vote {
	if f.self.Blind != "" {
		v.State, v.Detail = health.Unknown, "withdrawn: "+f.self.Blind
	}
	return v
}
