package main

import (
	"context"
	"fmt"
	"time"

	"gslb/balancer"
	"gslb/history"
	"gslb/steady"
)

// A balancer's events go to the fleet's time line at a bounded rate: so many at once, then
// one each so often. The node's log and gslb servers --events have all.
const (
	incidentsAtOnce = 20
	incidentsEvery  = 30 * time.Second
	incidentsMost   = 256 // that may wait
)

// noticed is told of the balancer's events. It never waits.
func (n *node) noticed(e balancer.Event) {
	select {
	case n.incidents <- e:
	default: // so many at once would be left out anyway
	}
}

// noteBalancer writes the balancer's events to the time line, until ctx ends.
func (n *node) noteBalancer(ctx context.Context) error {
	pace := history.NewPace(incidentsAtOnce, incidentsEvery)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-n.incidents:
			n.fleet.Note(pace.Take(n.incident(e), steady.Now())...)
		case <-timer.C:
			n.fleet.Note(pace.Flush(steady.Now())...)
		}
		if next := pace.Next(steady.Now()); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// incident is an event of the balancer in the time line's words.
func (n *node) incident(e balancer.Event) history.Event {
	out := history.Event{At: e.At, Kind: history.KindBalancer, Node: n.name, Site: n.siteOf(e.Frontend), Text: "frontend " + e.Frontend}
	if e.Frontend == "" { // not of the balancer itself: what it says is all
		out.Text = e.What
		return out
	}
	if e.Server != "" {
		out.Text += ", server " + e.Server
	}
	out.Text += fmt.Sprintf(": %s: %s", e.What, e.Why)
	return out
}

// siteOf is the site that a frontend serves.
func (n *node) siteOf(frontend string) string {
	for _, f := range n.inForce().cfg.Frontends {
		if f.Name == frontend {
			return f.Site
		}
	}
	return ""
}
