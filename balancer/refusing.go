package balancer

import (
	"fmt"
	"time"
)

// refusing tells whether clients have been refused for some time: a limit that is
// met once is what it is for, one that is met for minutes is for a person to see.
// Guarded by the frontend's pool.mu.
type refusing struct {
	at    time.Time // of the last look
	seen  [6]int64  // counts at the last look
	since [6]time.Time
	last  [6]time.Time // when the count last rose
}

const (
	refusingEvery = 10 * time.Second
	refusingQuiet = 3 * refusingEvery // without another one it is over
	refusingLong  = time.Minute       // after which it is a problem
)

var refusingFor = [6]string{
	"clients whose network makes too many connections (network_rate) are refused",
	"clients whose network has too many connections (network_connections) are refused",
	"clients that say nothing (first_byte_timeout) are reset",
	"connections that are too slow (min_rate) are reset",
	"front ends (proxy_from) that send no good PROXY header are reset",
	"connections that are to be logged are not, as the log is not written in time,",
}

// lookAtRefusals counts what was refused since the last look.
func (f *frontend) lookAtRefusals(now time.Time) {
	f.pool.mu.Lock()
	defer f.pool.mu.Unlock()
	r := &f.refusing
	if now.Sub(r.at) < refusingEvery {
		return
	}
	first := r.at.IsZero()
	r.at = now
	for i, n := range [6]int64{f.refusals.rate.Load(), f.refusals.count.Load(), f.refusals.silent.Load(), f.refusals.slow.Load(), f.refusals.header.Load(), f.unlogged.Load()} {
		switch {
		case n > r.seen[i] && !first:
			if r.since[i].IsZero() {
				r.since[i] = now
			}
			r.last[i] = now
		case now.Sub(r.last[i]) > refusingQuiet:
			r.since[i] = time.Time{}
		}
		r.seen[i] = n
	}
}

// refusalProblems are the limits that clients have met for long, one line each.
func (b *Balancer) refusalProblems() (lines []string) {
	for _, f := range b.frontends() {
		f.pool.mu.Lock()
		for i, since := range f.refusing.since {
			if !since.IsZero() && f.refusing.at.Sub(since) >= refusingLong {
				lines = append(lines, fmt.Sprintf("frontend %s: %s since %s, %d in all", f.name, refusingFor[i], since.UTC().Format(time.RFC3339), f.refusing.seen[i]))
			}
		}
		f.pool.mu.Unlock()
	}
	return lines
}
