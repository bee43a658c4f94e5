package transfer

import (
	"context"

	"gslb/parallel"
	"gslb/zones"
)

// largeZone is the size, in octets, from which what changes need to know of a zone is
// learned before one comes: of smaller ones it is learned in some milliseconds.
const largeZone = 4 << 20

// ready has what the next change of a zone needs to know of it learned beside all
// else: of a million names it takes seconds, for which no client waits. m.mu is held.
func (z *zone) ready(ctx context.Context, served *zones.Zone) {
	raw := z.raw.Load()
	if set := z.set.Load(); raw == nil || !set.keeps() || raw.Bytes() < largeZone {
		return
	}
	learn, signed := z.patcher.Ready(raw), served.Ready()
	if learn == nil && signed == nil || !z.ahead.CompareAndSwap(false, true) {
		return
	}
	z.m.run.Go(func() {
		defer z.ahead.Store(false)
		for _, f := range []func(context.Context){learn, signed} {
			if f != nil {
				parallel.Background(func() { f(ctx) })
			}
		}
	})
}
