package main

import (
	"slices"
	"time"

	"gslb/steady"
	"gslb/zones"
)

// presigned is what is known of a zone that comes signed, and since when.
type presigned struct {
	zones.Presigned
	at time.Time
}

// lookPause is how long a zone that comes signed is not looked at again: its
// signatures may expire one by one.
const lookPause = time.Minute

// due tells whether signatures have begun or ceased to count since.
func (p *presigned) due(now time.Time) bool {
	return !p.Changes.IsZero() && !now.Before(p.Changes) && now.Sub(p.at) >= lookPause
}

// lookAtPresigned looks at the zones that come signed, those that are new or due.
// What is new of what is wrong with them is logged. n.turn must be held.
func (n *node) lookAtPresigned(db *zones.DB) {
	now := steady.Now()
	next := make(map[*zones.Zone]presigned)
	before := make(map[string][]string) // faults, by zone
	for z, p := range n.signer.presigned {
		before[z.Name] = p.Faults
	}
	for _, z := range db.Zones() {
		p, ok := n.signer.presigned[z]
		if !ok || p.due(now) {
			if p.Presigned, ok = z.Presigned(now); !ok {
				continue
			}
			p.at = now
			for _, f := range p.Faults {
				if !slices.Contains(before[z.Name], f) {
					n.log.Warn(f)
				}
			}
		}
		next[z] = p
	}
	n.mu.Lock()
	n.signer.presigned = next
	n.mu.Unlock()
}

// presignedWarnings are the faults of the zones that come signed.
func presignedWarnings(db *zones.DB, now time.Time) (all []string) {
	for _, z := range db.Zones() {
		p, _ := z.Presigned(now)
		all = append(all, p.Faults...)
	}
	return all
}
