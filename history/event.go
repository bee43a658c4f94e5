package history

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gslb/steady"
	"gslb/store"
)

// The kinds of events.
const (
	KindOverride   = "override"   // a site was drained or forced
	KindRelease    = "release"    // an override was taken back, or ended
	KindGeneration = "generation" // a content generation was released, or that was taken back
	KindBreaker    = "breaker"    // what the breaker held was let through
	KindApply      = "apply"      // a new revision of the topology
	KindCanary     = "canary"     // one for some nodes first
	KindPromote    = "promote"    // a canary became that of all
	KindRollback   = "rollback"   // an earlier one again, or a canary dropped
	KindHealth     = "health"     // a site changed its state
	KindWindow     = "window"     // a window of maintenance began or ended
	KindBalancer   = "balancer"   // a balancer isolated a server, put a spare in service …
	KindMember     = "member"     // a member was taken out of etcd
)

// Kinds are all kinds of events.
var Kinds = []string{KindOverride, KindRelease, KindGeneration, KindBreaker, KindApply, KindCanary, KindPromote, KindRollback, KindHealth, KindWindow, KindBalancer, KindMember}

// Event is something that was ordered or that happened.
type Event struct {
	At       time.Time `json:"at"` // by the clock of the node that wrote it
	Kind     string    `json:"kind"`
	Node     string    `json:"node,omitempty"` // that wrote it
	Site     string    `json:"site,omitempty"`
	Revision int64     `json:"revision,omitempty"` // of the topology
	Who      string    `json:"who,omitempty"`      // empty: nobody ordered it
	Why      string    `json:"why,omitempty"`
	Text     string    `json:"text"` // what happened
}

const (
	eventRoot = root + "events/"
	// balancerRoot has the events of balancers, which there can be many of: apart, so that
	// they never drive out what was ordered.
	balancerRoot = root + "balancer/"
	// maxEventText bounds texts from elsewhere, such as the detail of a probe.
	maxEventText = 500
	// tidyGap is the least time between two looks for what is to go.
	tidyGap = time.Minute
	// balancerPart: balancers have this part of Config.Events, besides.
	balancerPart = 4
	// batch is how many keys one transaction writes or removes; etcd takes 128.
	batch = 64
)

// Entry is the key and value of an event, to be written in the transaction that
// makes it true. Keys are in the order of time.
func (e Event) Entry() (key string, value []byte) {
	e.At = e.At.UTC()
	e.Why, e.Text = short(e.Why), short(e.Text)
	value, err := json.Marshal(e)
	if err != nil { // times beyond the year 9999
		e.At = time.Time{}
		value, _ = json.Marshal(e)
	}
	return fmt.Sprintf("%s%019d-%s", rootOf(e.Kind), e.At.UnixNano(), rand.Text()[:6]), value
}

func rootOf(kind string) string {
	if kind == KindBalancer {
		return balancerRoot
	}
	return eventRoot
}

func short(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxEventText {
		return s
	}
	return strings.ToValidUTF8(s[:maxEventText], "") + " …"
}

// Log is the time line of events.
type Log struct {
	store *store.Store
	now   func() time.Time

	mu   sync.Mutex
	cfg  Config    // guarded by mu
	tidy time.Time // guarded by mu; when it was last seen to
}

// NewLog returns the fleet's time line.
func NewLog(st *store.Store) *Log {
	return &Log{store: st, now: steady.Now, cfg: Config{}.WithDefaults()}
}

// Keep says how much is kept.
func (l *Log) Keep(cfg Config) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cfg = cfg.WithDefaults()
}

// Add writes events.
func (l *Log) Add(ctx context.Context, events ...Event) error {
	for len(events) > 0 {
		some := events[:min(len(events), batch)]
		events = events[len(some):]
		c := store.Commit{Put: map[string][]byte{}}
		for _, e := range some {
			key, value := e.Entry()
			c.Put[key] = value
		}
		if _, err := l.store.Commit(ctx, c); err != nil {
			return err
		}
	}
	return l.Tidy(ctx)
}

// Filter tells which events are wanted.
type Filter struct {
	Since time.Time // zero: all
	Site  string    // "": any
	Kind  string    // "": any
	Limit int       // the newest; 0: 1000
}

// List gives events, the newest first. A value that cannot be read is shown as it is.
func (l *Log) List(ctx context.Context, f Filter) ([]Event, error) {
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	if f.Kind != "" {
		return l.list(ctx, rootOf(f.Kind), f)
	}
	out, err := l.list(ctx, eventRoot, f)
	if err != nil {
		return nil, err
	}
	more, err := l.list(ctx, balancerRoot, f)
	if err != nil {
		return nil, err
	}
	out = append(out, more...)
	slices.SortStableFunc(out, func(a, b Event) int { return b.At.Compare(a.At) })
	return out[:min(len(out), f.Limit)], nil
}

func (l *Log) list(ctx context.Context, root string, f Filter) ([]Event, error) {
	r := store.Range{Descending: true, Limit: 500}
	if !f.Since.IsZero() {
		r.From = fmt.Sprintf("%019d", f.Since.UnixNano())
	}
	var out []Event
	for {
		page, err := l.store.List(ctx, root, r)
		if err != nil {
			return nil, err
		}
		for _, kv := range page {
			e := Event{}
			if err := json.Unmarshal(kv.Data, &e); err != nil {
				e = Event{Kind: "unreadable", Text: short(string(kv.Data))}
			}
			if f.Site != "" && e.Site != f.Site || f.Kind != "" && e.Kind != f.Kind {
				continue
			}
			if out = append(out, e); len(out) == f.Limit {
				return out, nil
			}
		}
		if len(page) < r.Limit {
			return out, nil
		}
		r.Before = strings.TrimPrefix(page[len(page)-1].Key, root)
	}
}

// Tidy removes events that are too old or too many, at most once a minute.
func (l *Log) Tidy(ctx context.Context) error {
	now := l.now()
	l.mu.Lock()
	cfg, due := l.cfg, now.Sub(l.tidy) >= tidyGap
	if due {
		l.tidy = now
	}
	l.mu.Unlock()
	if !due {
		return nil
	}
	if err := l.trim(ctx, eventRoot, cfg, now); err != nil {
		return err
	}
	cfg.Events = max(cfg.Events/balancerPart, 1)
	return l.trim(ctx, balancerRoot, cfg, now)
}

func (l *Log) trim(ctx context.Context, root string, cfg Config, now time.Time) error {
	for {
		count, err := l.store.Count(ctx, root)
		if err != nil {
			return err
		}
		oldest, err := l.store.List(ctx, root, store.Range{Limit: batch, KeysOnly: true})
		if err != nil {
			return err
		}
		old := fmt.Sprintf("%s%019d", root, now.Add(-cfg.EventsFor).UnixNano())
		var gone []string
		for i, kv := range oldest {
			if kv.Key < old || int64(i) < count-int64(cfg.Events) {
				gone = append(gone, kv.Key)
			}
		}
		if len(gone) == 0 {
			return nil
		}
		if _, err := l.store.Commit(ctx, store.Commit{Delete: gone}); err != nil {
			return err
		}
	}
}
