package fleet

import (
	"encoding/json"
	"math"
	"slices"
	"time"

	"gslb/health"
)

const (
	// voteGap, changeGap and loadGap are the least times between two writes of
	// one key: of a vote, of a report whose servers changed, of one with another load.
	voteGap   = 250 * time.Millisecond
	changeGap = 200 * time.Millisecond
	loadGap   = time.Second
	// renewGap is when a report is written though nothing changed, since the
	// control of shedding goes by the reports' time; pressGap, when it is needed.
	renewGap = 10 * time.Second
	pressGap = 2 * time.Second
	// leaveGap is when it is written while its site gets no new users and some still come.
	leaveGap = 2 * time.Second
	// answerGap is the least time between two writes of what a DNS node has answered.
	answerGap = 2 * time.Second
	// silence is when the balancer of this process, which reports each second,
	// is taken for stuck: its old load must not be believed.
	silence = 15 * time.Second
	// pressure is the utilization from which shedding may be near.
	pressure = 0.85
	// loadShare is the change of load that is worth writing.
	loadShare = 0.02
)

// outbox holds what goes out for one key, at a bounded rate: at once when the
// last write is long ago, else the newest value when the time has come.
type outbox struct {
	wrote   time.Time
	due     time.Time // when pending goes out; meaningless without
	pending []byte
}

// ownReport is the report of this node's balancer for one site.
type ownReport struct {
	last    health.Report // as it was written last, or waits to be
	written time.Time
	heard   time.Time // the last call of Report
}

// Vote publishes this node's verdict on a site. It never waits, and writes only
// when the state or the content generation is another than before. The vantage point is this node,
// whatever v says; a zero Since is now. A vote on a site that the fleet does not
// have (yet) is kept until SetSites names it.
func (f *Fleet) Vote(v health.Vote) {
	v.Vantage = f.cfg.Node
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.probes(v.Site) {
		return // it is another's, and the probe was under way when it became so
	}
	old, ok := f.votes[v.Site]
	if ok && old.State == v.State && old.Generation == v.Generation {
		return
	}
	now := f.now()
	if v.Since.IsZero() {
		v.Since = now
	}
	f.votes[v.Site] = v
	add(&f.news.sites, v.Site)
	if slices.Contains(f.topology.Sites, v.Site) {
		f.offer(keyOf(kindVote, v.Site, f.cfg.Node), f.said(v), voteGap, now)
		f.wake()
	}
}

// Report publishes what this node's balancer says of its site. It never waits.
// It is meant to be called each second and at each change, and writes at once
// when servers changed, at most each second when the load changed by more than a
// fiftieth of the capacity, and now and then otherwise. A balancer that no
// longer calls it has no report after a while. The node is this one, whatever r
// says; a zero At is now.
func (f *Fleet) Report(r health.Report) {
	r.Node = f.cfg.Node
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.topology.Sites, r.Site) {
		return
	}
	now := f.now()
	if r.At.IsZero() {
		r.At = now
	}
	own := f.reports[r.Site]
	if own == nil {
		own = &ownReport{}
		f.reports[r.Site] = own
	}
	own.heard = now
	gap := reportGap(own.last, r, f.pressed(r))
	if since := now.Sub(own.written); !own.written.IsZero() && since >= 0 && since < gap && gap > loadGap {
		return // nothing but a renewal, and that is not due
	}
	own.written = now
	r.Servers = slices.Clone(r.Servers)
	own.last = r
	add(&f.news.sites, r.Site)
	f.offer(keyOf(kindReport, r.Site, f.cfg.Node), r, gap, now)
	f.wake()
}

// Answered publishes what this node, one that serves DNS, knows of answers that name
// a site which is to get no new users. It never waits. The node is this one, whatever a says.
func (f *Fleet) Answered(a health.Answered) {
	a.Node = f.cfg.Node
	f.mu.Lock()
	defer f.mu.Unlock()
	f.offer(keyOf(kindAnswers, a.Site, a.Node), a, answerGap, f.now())
	f.wake()
}

// Unanswered takes that back, once the site may have users again.
func (f *Fleet) Unanswered(site string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.withdraw(keyOf(kindAnswers, site, f.cfg.Node))
}

// pressed tells whether the site sheds users or is about to.
func (f *Fleet) pressed(r health.Report) bool {
	return r.Capacity > 0 && r.Load > pressure*r.Capacity || f.published.Load().Site(r.Site).Shed > 0
}

// reportGap is how soon a report may follow the one before.
func reportGap(old, now health.Report, pressed bool) time.Duration {
	switch {
	case old.Healthy != now.Healthy || old.Total != now.Total || old.Capacity != now.Capacity || old.Generation != now.Generation,
		!slices.EqualFunc(old.Servers, now.Servers, sameServer):
		return changeGap
	case differs(old.Load, now.Load, now.Capacity), differs(float64(old.Connections), float64(now.Connections), 500):
		return loadGap
	case pressed:
		return pressGap
	case now.Clients != nil && (old.Clients == nil || old.Clients.New != now.Clients.New || old.Clients.Open != now.Clients.Open || old.Clients.Long != now.Clients.Long || now.Clients.Quiet < health.ClientStep):
		return leaveGap
	}
	return renewGap
}

// differs tells whether a number changed by more than loadShare of scale or, when
// that is larger, of itself.
func differs(old, now, scale float64) bool {
	return math.Abs(old-now) > loadShare*max(scale, math.Abs(old), math.Abs(now))
}

// sameServer compares what matters of a server's line; its connections and traffic do not.
func sameServer(a, b health.Server) bool {
	a.Traffic, b.Traffic = nil, nil
	a.Connections, b.Connections = 0, 0
	a.Detail, b.Detail = "", ""
	return a == b
}

// offer writes a value now or when the gap has passed. The caller holds f.mu.
func (f *Fleet) offer(key string, value any, gap time.Duration, now time.Time) {
	raw, err := json.Marshal(value)
	if err != nil { // a state or a number that JSON does not have
		f.log.Error("not published", "key", key, "error", err)
		return
	}
	box := f.out[key]
	if box == nil {
		box = &outbox{}
		f.out[key] = box
	}
	if due := box.wrote.Add(gap); now.Before(due) && !now.Before(box.wrote) { // a clock that was set back makes nobody wait
		if box.pending == nil || due.Before(box.due) {
			box.due = due
		}
		box.pending = raw
		return
	}
	box.wrote, box.pending = now, nil
	f.session.Announce(key, raw)
}

// withdraw takes a key of this node's back. The caller holds f.mu.
func (f *Fleet) withdraw(key string) {
	delete(f.out, key)
	f.session.Withdraw(key)
}

// post writes what is due and withdraws reports of a balancer that fell silent.
// It returns when there will be more to do; zero: not by time.
func (f *Fleet) post(now time.Time) (next time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, box := range f.out {
		switch {
		case box.pending == nil:
		case now.Before(box.due) && !now.Before(box.wrote):
			next = health.Sooner(next, box.due)
		default:
			f.session.Announce(key, box.pending)
			box.wrote, box.pending = now, nil
		}
	}
	for site, own := range f.reports {
		end := own.heard.Add(silence)
		if now.Before(end) {
			next = health.Sooner(next, end)
			continue
		}
		f.log.Warn("no report from this node's balancer any more: withdrawing the last one", "site", site, "since", own.heard)
		delete(f.reports, site)
		add(&f.news.sites, site)
		f.withdraw(keyOf(kindReport, site, f.cfg.Node))
	}
	return next
}
