package balancer

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// What happened, in Event.What.
const (
	EventIsolated   = "isolated"    // a server gets no new connections, because of its health or load
	EventRecovered  = "recovered"   // an isolated server is back
	EventSpareIn    = "spare in"    // a spare was put in service
	EventSpareOut   = "spare out"   // a spare was taken out of service; its connections finish
	EventDraining   = "draining"    // by order: no new connections for the server
	EventDrained    = "drained"     // the last connection of a draining or removed server is gone
	EventUndrained  = "undrained"   // by order: the server takes connections again
	EventCut        = "cut"         // connections that outlived the drain time-out, or their server's health, were reset
	EventAdded      = "added"       // a new configuration has this server
	EventRemoved    = "removed"     // a new configuration lacks this server; its connections drain
	EventPanic      = "panic"       // no server is healthy: all are tried
	EventHook       = "hook"        // a hook was called
	EventHookFailed = "hook failed" // and did not do it
	EventPanicOver  = "panic over"  // a server is healthy again
)

// Event is one change in what servers a frontend uses.
type Event struct {
	At       time.Time `json:"at"`
	Frontend string    `json:"frontend"`
	Server   string    `json:"server,omitempty"` // address; empty: all of the frontend
	What     string    `json:"what"`             // one of the Event constants
	Why      string    `json:"why"`              // in words
}

// ringSize is how many events are kept for people to see; the log has them all.
const ringSize = 256

// journal keeps the last events and logs every one.
type journal struct {
	log     *slog.Logger
	changed func() // called after each event; must not block
	notice  func(Event)

	mu   sync.Mutex
	ring []Event // guarded by mu; oldest first once rotated by next
	next int     // guarded by mu; where the next event goes when the ring is full
}

func (j *journal) add(e Event) {
	j.mu.Lock()
	if len(j.ring) < ringSize {
		j.ring = append(j.ring, e)
	} else {
		j.ring[j.next] = e
		j.next = (j.next + 1) % ringSize
	}
	j.mu.Unlock()
	level := slog.LevelInfo
	switch e.What {
	case EventIsolated, EventPanic, EventCut, EventHookFailed:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("frontend", e.Frontend)}
	if e.Server != "" {
		attrs = append(attrs, slog.String("server", e.Server))
	}
	attrs = append(attrs, slog.String("why", e.Why))
	j.log.LogAttrs(context.Background(), level, "balancer: "+e.What, attrs...)
	if j.notice != nil {
		j.notice(e)
	}
	j.changed()
}

// events returns a copy, oldest first.
func (j *journal) events() []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]Event, 0, len(j.ring))
	out = append(out, j.ring[j.next:]...)
	return append(out, j.ring[:j.next]...)
}
