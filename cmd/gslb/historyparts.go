package main

import (
	"context"
	"math/rand/v2"
	"time"
)

// tidyEvery is how often a node looks whether something of the history is to go.
// Nodes of a fleet do so at different times.
const tidyEvery = time.Hour

// tidyHistory keeps the history in its bounds until ctx ends.
func (n *node) tidyHistory(ctx context.Context) error {
	for wait := rand.N(time.Minute); ; wait = tidyEvery + rand.N(tidyEvery) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		cfg := n.inForce().cfg.History
		n.history.Keep(cfg)
		err := n.history.Tidy(ctx)
		if err == nil {
			err = n.book.Tidy(ctx, cfg)
		}
		if err != nil && ctx.Err() == nil {
			n.log.Warn("the history in etcd was not tidied; trying again later", "error", err)
		}
	}
}
