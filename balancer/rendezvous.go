package balancer

import "math"

// rendezvous is the pick "hash": highest random weight (Thaler and Ravishankar,
// 1998; weighted as in Schindelhauer and Schomaker, 2005). Each candidate has a
// number for the client, and the highest is picked. When a server leaves, nobody
// but its own clients moves; when one returns, they alone come back to it. It
// looks at every candidate, and so suits some dozens of servers.
type rendezvous struct{}

func (rendezvous) pick(t *table, f flow) *server {
	key := f.key(t.whole, t.seed)
	var best *candidate
	var highest float64
	for i := range t.candidates {
		c := &t.candidates[i]
		if number := weightFor(c.seed, key, c.share()); best == nil || number > highest {
			best, highest = c, number
		}
	}
	return best.server
}

// weightFor is the number that a server of a share has for a key.
func weightFor(seed, key uint64, share float64) float64 {
	u := (float64(finish(mix(seed, key))>>11) + 0.5) / (1 << 53) // above 0, below 1
	return -share / math.Log(u)
}
