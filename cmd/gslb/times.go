package main

import (
	"context"
	"time"
)

// measureEvery is how often a checker looks whether the times that it measures have changed.
const measureEvery = 2 * time.Second

// measure publishes the round-trip times of this node's probes, until ctx ends.
func (n *node) measure(ctx context.Context) error {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			n.fleet.Measured(n.runner.Trips())
		}
	}
}
