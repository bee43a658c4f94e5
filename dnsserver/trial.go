package dnsserver

import (
	"encoding/binary"
	"math"
	"net/netip"

	"gslb/zones"
)

// trial is a second generation, by which the steered names of a share of the
// clients are answered: a canary. Who is in it follows from the client's network alone, as wide as the scope
// of an answer may be (ecs_max_v4, ecs_max_v6: /24 and /56), so that it stays the same on all nodes, for as long as the trial is,
// and caches know no wider network than was drawn.
type trial struct {
	gen   *Generation
	below uint64 // of the draws from 0 to 2^64-1, those that are in it
	salt  uint64
	id    int64
}

// WithTrial gives the generation in which a share, 0 to 1, of the clients' networks is
// answered by another one, as far as names go that both steer; id, which tells trials apart, also says which networks.
// A name in a zone that is signed in one of the two alone is not tried.
func (g *Generation) WithTrial(other *Generation, share float64, id int64) *Generation {
	next := *g
	next.trial = nil
	if other != nil && share > 0 {
		t := *other
		t.tried = id
		below := uint64(math.MaxUint64)
		if share < 1 {
			below = uint64(share * math.MaxUint64)
		}
		next.trial = &trial{gen: t.WithStates(g.States), below: below, salt: uint64(id) * 0x9E3779B97F4A7C15, id: id}
	}
	return &next
}

// Trial is the id of the trial under way; 0: there is none.
func (g *Generation) Trial() int64 {
	if g.trial == nil {
		return 0
	}
	return g.trial.id
}

// try gives the generation by which the client of a steered name is answered, with the
// name looked up in it.
func (w *responder) try(g *Generation, who *client) *Generation {
	t := g.trial
	if !t.draws(who.inner, w.limits.scope4, w.limits.scope6) {
		return g
	}
	q, signed := &w.q, w.res.Steered.Zone().Signed()
	if t.gen.DB.Lookup(&q.Name, q.Type, q.EDNS.DO, &w.res); w.res.Outcome == zones.Tailored && w.res.Steered.Zone().Signed() == signed {
		return t.gen
	}
	g.DB.Lookup(&q.Name, q.Type, q.EDNS.DO, &w.res)
	return g
}

// draws tells whether a client's network is in the trial.
func (t *trial) draws(a netip.Addr, bits4, bits6 uint8) bool {
	var network uint64
	if a.Is4() {
		b := a.As4()
		network = uint64(binary.BigEndian.Uint32(b[:])) &^ (math.MaxUint32 >> bits4)
	} else {
		b := a.As16()
		network = binary.BigEndian.Uint64(b[:])
		if bits6 < 64 {
			network &^= math.MaxUint64 >> bits6
		} else {
			network ^= (binary.BigEndian.Uint64(b[8:]) &^ (math.MaxUint64 >> (bits6 - 64))) * 0xBF58476D1CE4E5B9
		}
	}
	// The finalizer of SplitMix64.
	x := network ^ t.salt
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x^x>>31 < t.below
}
