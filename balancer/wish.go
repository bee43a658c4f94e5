package balancer

import (
	"fmt"
	"math"
	"time"

	"gslb/health"
	"gslb/health/probe"
)

// A server's agent wishes for a share of its weight, for a bound of its
// connections, or to be drained. A wish changes what new connections it
// gets; what it has is left alone, and a drain that it asked for has no end but its own.

// wishSettles is the time constant in which least-load follows a change of the
// share that an agent asks for: reports are of the past, and all balancers see them.
const wishSettles = 3 * time.Second

// wish is what a server's agent asked for last.
type wish struct {
	probe.Wish
	smooth float64   // Share, smoothed
	at     time.Time // of smooth
}

// heed takes in what the agent asks for. The verdict on a server that wishes to be
// drained is down (unless its check is made of others, too), and stays so for its
// rise after the wish: so long the server drains.
func (s *server) heed(w probe.Wish, state health.State) {
	s.wish.Wish = w
	s.asked = w.Drain || s.asked && state == health.Down
	most := int64(s.MaxConnections)
	if n := int64(w.Connections); n > 0 && (most == 0 || n < most) {
		most = n
	}
	s.most.Store(most)
}

// settleWish smooths the share, and begins or ends the drain that an agent asks for.
func (p *pool) settleWish(s *server, now time.Time) {
	w := &s.wish
	if w.at.IsZero() {
		w.smooth = s.wishedShare()
	}
	w.smooth += (s.wishedShare() - w.smooth) * (1 - math.Exp(-max(0, now.Sub(w.at).Seconds())/wishSettles.Seconds()))
	w.at = now
	why := "its agent asks for it no more"
	if s.asked {
		why = "its agent asks for it: " + s.check.detail
	}
	p.settleOrders(s, now, why)
}

// wishedShare is what part of its weight the agent asks for. One that asks for none is
// drained; if it is used all the same, nothing else is left.
func (s *server) wishedShare() float64 {
	if s.wish.Share <= 0 {
		return 1
	}
	return s.wish.Share
}

// sized is size as the agent wishes to have it, for a pick.
func (s *server) sized(size float64, pick string) float64 {
	switch pick {
	case LeastLoad:
		return size * s.wish.smooth
	case Maglev: // in steps: each change of a share moves clients
		return size * max(1, math.Round(16*s.wishedShare())) / 16
	}
	return size * s.wishedShare()
}

// settleOrders begins or ends draining, as it was ordered or asked for.
func (p *pool) settleOrders(s *server, now time.Time, why string) {
	switch want := s.ordered || s.asked; {
	case want && !s.drain.on():
		s.drain.since, s.drain.begun = now, s.open.Load()
		p.tell(now, s, EventDraining, fmt.Sprintf("%s, with %d connections", why, s.open.Load()))
	case !want && s.drain.on():
		s.drain = drainState{}
		s.carried.allow()
		s.rampFrom = now
		p.tell(now, s, EventUndrained, why)
	}
}
