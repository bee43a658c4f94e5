package probe

import "time"

// asks is what the wish w comes to: of nil, all of the weight and no bound.
func (w *Wish) asks() Wish {
	if w == nil {
		return Wish{Share: 1}
	}
	return *w
}

// wishFor is how many intervals an agent's wish is believed while it is silent.
const wishFor = 3

// stale tells whether an agent says what it said before, of the same reading of its
// figures or of an older one. An older one counts again when what it said is not
// believed any more: the agent's clock may have been set back.
func (u *unit) stale(r Report, w *Wish) bool {
	if r.Seq == 0 {
		return false
	}
	said := w.asks()
	old := r == u.report && said == u.said || r.At.Before(u.report.At) && u.wish != nil
	if !old {
		u.report, u.said = r, said
	}
	return old
}

// wishes enters the wish of a probe that reached its target, or of none, and tells
// of it if it is another one. r.mu is held.
func (r *Runner) wishes(u *unit, w *Wish, failed bool, now time.Time) {
	was := u.wish.asks()
	switch {
	case !failed:
		u.wish, u.wished = w, now
	case now.Sub(u.wished) > wishFor*u.interval:
		u.wish = nil
	}
	if u.wish.asks() != was {
		r.renewed(u)
	}
}

// asks returns what u's target wishes; of a check that is made of others, the
// least that one of them asks for.
func (u *unit) asks() Wish {
	all := u.wish.asks()
	for _, p := range u.parts {
		w := p.asks()
		all.Share = min(all.Share, w.Share)
		all.Drain = all.Drain || w.Drain
		if w.Connections > 0 && (all.Connections == 0 || w.Connections < all.Connections) {
			all.Connections = w.Connections
		}
	}
	return all
}
