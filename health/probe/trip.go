package probe

import (
	"context"
	"slices"
	"time"
)

// window is how many trips the median is of: with checks each 2 s the last half minute.
const window = 15

// trips are the round-trip times of a target as its last probes saw them.
type trips struct {
	last [window]time.Duration
	n    int // how many there have been
	at   time.Time
}

func (t *trips) add(d time.Duration, now time.Time) {
	t.last[t.n%window] = d
	t.n++
	t.at = now
}

// median of them: one slow answer does not count, nor do a few.
func (t *trips) median() time.Duration {
	all := t.last
	got := all[:min(t.n, window)]
	slices.Sort(got)
	return got[len(got)/2]
}

// tripKey is that of the place where a probe leaves how long it took to connect.
type tripKey struct{}

// timed has the connections that are opened with the context leave there how long that took.
func timed(ctx context.Context) (context.Context, *time.Duration) {
	trip := new(time.Duration)
	return context.WithValue(ctx, tripKey{}, trip), trip
}

// connected notes that a connection took so long, the first of a probe.
func connected(ctx context.Context, took time.Duration) {
	if trip, ok := ctx.Value(tripKey{}).(*time.Duration); ok && *trip == 0 {
		*trip = took
	}
}

// travelled enters the trip of a probe that reached its target. Over TCP it is the time that the
// handshake took, which the kernels at both ends make; elsewhere a question and its answer.
func (u *unit) travelled(connect, whole time.Duration, now time.Time) {
	switch {
	case connect > 0:
		u.trips.add(connect, now)
	case u.config.Type == "icmp" || u.config.Type == "dns" || u.config.Type == "udp":
		u.trips.add(whole, now)
	}
}

// freshIntervals is for how many intervals a trip counts, freshLeast for how long at least.
const (
	freshIntervals = 5
	freshLeast     = time.Minute
)

// trip is the round-trip time to a target, by one of its checks where it has several; ok is
// false where none has been measured lately.
func (u *unit) trip(now time.Time) (rtt time.Duration, ok bool) {
	if u.trips.n > 0 && now.Sub(u.trips.at) <= max(freshIntervals*u.interval, freshLeast) {
		rtt, ok = u.trips.median(), true
	}
	for _, p := range u.parts {
		if d, measured := p.trip(now); measured && (!ok || d < rtt) {
			rtt, ok = d, true
		}
	}
	return rtt, ok
}

// Trips returns the round-trip time to each target, by name: the median of its last probes that
// reached it, and of several addresses the least. Targets that were not reached lately are not among them, nor those
// whose checks measure none (exec, push).
func (r *Runner) Trips() map[string]time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	out, now := map[string]time.Duration{}, time.Now()
	for _, e := range r.entries {
		if e.target.IsControl() {
			continue
		}
		d, ok := e.unit.trip(now)
		if least, there := out[e.target.Name]; ok && (!there || d < least) {
			out[e.target.Name] = d
		}
	}
	return out
}
