package probe

import (
	"slices"
	"strings"
	"time"

	"gslb/health"
)

// adopt makes u and its parts units of r, unless they are; it tells whether u was
// new. r.mu is held.
func (r *Runner) adopt(u *unit) (isNew bool) {
	if r.units[u.key] != nil {
		return false
	}
	r.units[u.key] = u
	if u.prober != nil {
		r.enqueue(u, r.spread(u))
	}
	for _, p := range u.parts {
		r.adopt(p)
		p.parents = append(p.parents, u)
	}
	return true
}

// compose makes the verdict of a unit with parts of theirs, and goes on to what
// it is a part of. r.mu is held.
func (r *Runner) compose(u *unit) {
	if u.prober != nil {
		return
	}
	states := make([]health.State, len(u.parts))
	for i, p := range u.parts {
		if p.prober == nil && p.last().IsZero() {
			r.compose(p)
		}
		states[i] = p.machine.State()
	}
	state := u.config.judgeParts(states)
	if state == health.Unknown && u.last().IsZero() {
		return // what is from before a restart or a change of the check holds: no part knows better yet
	}
	if u.machine.Declare(state, u.words(), time.Now()) {
		r.turned(u)
	}
}

// words are what the last probe saw, or what the parts say.
func (u *unit) words() string {
	if u.prober != nil || u.last().IsZero() {
		return u.detail
	}
	states, details := make([]health.State, len(u.parts)), make([]string, len(u.parts))
	for i, p := range u.parts {
		states[i], details[i] = p.machine.State(), p.words()
	}
	return u.config.partsText(states, details)
}

// last is when a probe ended last, of any part.
func (u *unit) last() time.Time {
	at := u.at
	for _, p := range u.parts {
		if t := p.last(); t.After(at) {
			at = t
		}
	}
	return at
}

// took is how long the last probe took, of the slowest part.
func (u *unit) took() time.Duration {
	rtt := u.rtt
	for _, p := range u.parts {
		rtt = max(rtt, p.took())
	}
	return rtt
}

// warning is what a person should look at, of all parts.
func (u *unit) warning() string {
	all := []string{}
	if u.seen.Warning != "" {
		all = append(all, u.seen.Warning)
	}
	for _, p := range u.parts {
		if w := p.warning(); w != "" && !slices.Contains(all, w) {
			all = append(all, w)
		}
	}
	return strings.Join(all, "; ")
}

// hurry makes the checks that look at a note on the Board do so now.
func (r *Runner) hurry(key pushKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range slices.Clone(r.queue) {
		p, ok := u.prober.(*pushProber)
		if ok && p.check == key.check && p.target.Name == key.target && (key.address == "" || key.address == p.target.Address) {
			r.dequeue(u)
			r.enqueue(u, time.Now())
		}
	}
	poke(r.wake)
}

// listen makes the Board tell r its news at once, until stop is called.
func (b *Board) listen(r *Runner) (stop func()) {
	if b == nil {
		return func() {}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hurry == nil {
		b.hurry = map[*Runner]bool{}
	}
	b.hurry[r] = true
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.hurry, r)
	}
}
