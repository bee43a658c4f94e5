package history

import (
	"fmt"
	"time"
)

// The defaults of Config.
const (
	DefaultRevisions = 50
	DefaultEvents    = 10_000
	DefaultEventsFor = 90 * 24 * time.Hour
)

// The most that Config takes: etcd has all of it.
const (
	mostRevisions = 1000
	mostEvents    = 100_000
)

// Config is [history]: how much of it the fleet keeps in etcd.
type Config struct {
	Revisions int           `toml:"revisions"`  // of the topology; those in use are always kept
	Events    int           `toml:"events"`     // the newest
	EventsFor time.Duration `toml:"events_for"` // older events go
}

// WithDefaults returns c with the defaults in place of zero values.
func (c Config) WithDefaults() Config {
	if c.Revisions == 0 {
		c.Revisions = DefaultRevisions
	}
	if c.Events == 0 {
		c.Events = DefaultEvents
	}
	if c.EventsFor == 0 {
		c.EventsFor = DefaultEventsFor
	}
	return c
}

// Validate calls bad once for each fault, with the key it is in.
func (c Config) Validate(bad func(key, msg string)) {
	c = c.WithDefaults()
	if c.Revisions < 2 || c.Revisions > mostRevisions {
		bad("revisions", fmt.Sprintf("%d: must be 2 to %d", c.Revisions, mostRevisions))
	}
	if c.Events < 1 || c.Events > mostEvents {
		bad("events", fmt.Sprintf("%d: must be 1 to %d", c.Events, mostEvents))
	}
	if c.EventsFor < time.Hour {
		bad("events_for", fmt.Sprintf("%q: must be an hour or more", c.EventsFor))
	}
}
