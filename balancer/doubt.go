package balancer

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// Suspicion, then proof: how connects that fail isolate a server in a plane in the kernel.
//
//	what speaks against it            clients' connects that look as if they had failed, as the
//	                                  engine counts them (kernel.Counters.Failed)
//	what that has the manager do      connect to the server itself, at most once each doubtEvery,
//	                                  and at once again while such connects fail
//	what isolates it                  PassiveFailures of these in a row, as in the plane proxy
//
// Whoever feigns the first has the balancer connect now and then, and no server isolated
// that accepts.
const (
	doubtEvery = time.Second
	doubtTime  = 2 * time.Second // for a connect, where no time-out of connects is configured
	greetEvery = 5 * time.Second // while a server has neither accepted nor refused one
)

// doubt is how a server stands between suspicion and proof.
type doubt struct {
	raised bool      // its clients' connects speak against it, or the last of the manager's own did
	trying bool      // one is under way
	next   time.Time // and none begins before
	// With direct server return an application may listen at the virtual address alone, and
	// who refuses a connect to the server's own then says nothing: greeted, that was found out;
	// reached, the server does accept there.
	greeted, reached bool
	greet            time.Time // when to try again to find it out
}

// doubt takes in that clients' connects to s look as if they had failed.
func (p *pool) doubt(s *server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.doubt.raised = true
}

// doubtful returns the servers that the manager is to connect to now.
func (p *pool) doubtful(now time.Time) (out []*server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.cfg.inKernel() || p.cfg.Protocol == UDP || p.cfg.PassiveFailures < 1 {
		return nil
	}
	for _, s := range p.servers {
		d := &s.doubt
		greet := p.cfg.Plane == PlaneDSR && !d.greeted && !now.Before(d.greet)
		if d.trying || s.isolation.has(causePassive) || !greet && (!d.raised || now.Before(d.next)) {
			continue
		}
		d.trying, d.greeted = true, true
		out = append(out, s)
	}
	return out
}

// prove connects to a server, and counts that if it fails.
func (p *pool) prove(ctx context.Context, s *server) {
	err := p.connect(ctx, s)
	p.mu.Lock()
	d, now := &s.doubt, p.now()
	counts := err != nil && d.raised && ctx.Err() == nil && !ownFault(err) &&
		(d.reached || p.cfg.Plane != PlaneDSR || !errors.Is(err, syscall.ECONNREFUSED))
	d.trying, d.reached = false, d.reached || err == nil
	d.greeted, d.greet = d.reached || errors.Is(err, syscall.ECONNREFUSED), now.Add(greetEvery)
	d.next = now.Add(doubtEvery)
	d.raised = counts && s.streak.Load()+1 < int32(p.cfg.PassiveFailures)
	if d.raised {
		d.next = now
	}
	p.mu.Unlock()
	switch {
	case counts:
		p.failed(s, err)
	case err == nil:
		s.streak.Store(0)
	}
}
