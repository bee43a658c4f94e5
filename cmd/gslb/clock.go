package main

import (
	"context"
	"fmt"
	"time"

	"gslb/steady"
)

// watchClock tells when the clock of this machine has jumped, until ctx ends, and
// takes note of it within a second (steady.Now looks when it is asked).
func (n *node) watchClock(ctx context.Context) error {
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		text := ""
		if j, yes := steady.Jumped(); yes {
			text = jumped(j)
		}
		if text == told {
			continue
		}
		if told = text; text == "" {
			text = "the clock of this machine is believed again"
		}
		n.fault("clock", told)
		n.log.Warn(text)
	}
}

func jumped(j steady.Jump) string {
	way, by := "ahead", j.By
	if by < 0 {
		way, by = "back", -by
	}
	return fmt.Sprintf("the clock of this machine went %s by %v at once: time goes on here as before, until %s unless it is put right; look at its time server",
		way, by.Round(10*time.Second), j.Until.UTC().Format("15:04 MST"))
}
