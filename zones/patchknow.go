package zones

import (
	"context"

	"gslb/parallel"
)

// patchable tells whether versions of the zone may be made by a Patcher: by its own,
// where it is signed here.
func (z *Zone) patchable() bool {
	switch {
	case !z.Loaded() || len(z.aliases) > 0:
		return false
	case z.signing != nil:
		return z.broken == "" && z.names >= leastPatched
	}
	return !z.Signed() && z.denial == noDenial
}

// Ready gives what has p learn what it has to know of a zone, so that the first change
// need not: in a large zone that is a look at all its names. nil: there is nothing to be
// learned. It is to be run beside all else (parallel.Background), and keeps no Patch
// waiting: one that comes meanwhile learns for itself. It ends early when ctx does.
func (p *Patcher) Ready(z *Zone) (learn func(ctx context.Context)) {
	if !z.patchable() || !p.mu.TryLock() { // or somebody is at it
		return nil
	}
	was := p.zone
	p.mu.Unlock()
	if was == z {
		return nil
	}
	if was != nil {
		if _, ok := was.editedSince(z); ok {
			return nil // z has been changed already
		}
	}
	return func(ctx context.Context) {
		var next Patcher
		if !next.learn(z, func() bool { parallel.Yield(); return ctx.Err() == nil }) {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.zone == was {
			p.zone, p.own, p.kids, p.targets, p.whole, p.slots = z, false, next.kids, next.targets, next.whole, next.slots
		}
	}
}

// Ready is Patcher.Ready for the Patcher that makes the versions of a zone that is
// signed here; nil for others.
func (z *Zone) Ready() (learn func(ctx context.Context)) {
	if z.signing == nil {
		return nil
	}
	return z.signing.patcher.Ready(z)
}

// know sees to it that p knows the zone. p.mu must be held.
func (p *Patcher) know(z *Zone) {
	if p.zone != z {
		p.learn(z, func() bool { return true }) // who waits for a change does not rest
	}
}

// learn looks at a zone that was made otherwise, as long as goOn, which is asked every
// now and then, says so; ok tells that it is done.
func (p *Patcher) learn(z *Zone, goOn func() bool) (ok bool) {
	p.zone, p.own, p.kids, p.targets, p.whole = z, false, make(map[uint64]int), make(map[uint64]struct{}), len(z.arena)
	if z.patched != nil {
		p.whole = z.patched.spans[0].to
	}
	used, seen := 0, 0
	var name Name
	for n := range z.live() {
		if seen++; seen%yieldEvery == 0 && !goOn() {
			return false
		}
		if name.Set(z.arena.owner(n)); z.hashedOwner(&name, n) {
			continue
		}
		if used++; n != z.top {
			p.kids[name.hash[1]]++
		}
		count, at := z.arena.sets(n)
		for range count {
			var set RRset
			set, _, at = z.arena.set(at)
			p.target(set)
		}
	}
	slots := len(z.index)
	switch {
	case z.pages != nil:
		slots, used = z.pages.slots, z.pages.taken() // those of names that are gone, too
	case z.index == nil:
		slots = len(z.grown())
	}
	p.slots = slots*2/3 - used
	return true
}
