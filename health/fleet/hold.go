package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gslb/health"
	"gslb/history"
	"gslb/store"
)

// Held is a change that the breaker holds back.
type Held struct {
	Sites []string  // that stay in service though they were judged down, sorted
	Why   string    // what makes it too large
	Since time.Time // by this node's clock
	Until time.Time // when it is let through, unless somebody does so before
}

// allowed is an order to let through what is held, or to drop it. A new one is told by its ID alone.
type allowed struct {
	ID   string    `json:"id"`
	Drop bool      `json:"drop,omitempty"`
	Who  string    `json:"who"`
	Why  string    `json:"why"`
	At   time.Time `json:"at"`
}

// allowKey is the one name of its kind.
const allowKey = "health"

// Held is what this node's breaker holds back now; nil: nothing.
func (f *Fleet) Held() *Held {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held
}

// Allow lets through what the breakers of all nodes hold back at the moment.
func (f *Fleet) Allow(ctx context.Context, by history.Order) error { return f.decide(ctx, by, false) }

// Drop has all nodes forget the changes that they hold back: what is served stays. Of sites
// that are held there is nothing to forget: an override keeps one in service.
func (f *Fleet) Drop(ctx context.Context, by history.Order) error { return f.decide(ctx, by, true) }

// Decided tells of orders to let through what is held (true), or to drop it, of any node. One that nobody
// takes before the next is lost.
func (f *Fleet) Decided() <-chan bool { return f.decided }

func (f *Fleet) decide(ctx context.Context, by history.Order, drop bool) error {
	if strings.TrimSpace(by.Why) == "" {
		return errors.New(`why "": must say why, for those who wonder later`)
	}
	a := allowed{Drop: drop, ID: fmt.Sprintf("%s-%d", f.self.Instance, f.now().UnixNano()), Who: by.Who, Why: by.Why, At: f.now().UTC()}
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	e := history.Event{At: f.now(), Kind: history.KindBreaker, Node: f.cfg.Node, Who: by.Who, Why: by.Why, Text: "what the breaker holds is let through"}
	if drop {
		e.Text = "what the breaker holds is dropped"
	}
	key, event := e.Entry()
	rev, err := f.store.Commit(ctx, store.Commit{Put: map[string][]byte{keyOf(kindAllow, allowKey): raw, key: event}})
	if err != nil {
		return fmt.Errorf("the breaker holds on: %w", err)
	}
	f.awaitRevision(ctx, rev)
	return nil
}

// watchman is the breaker's memory: of one episode of holding, and of the sites
// that went down before it.
type watchman struct {
	fell    map[string]time.Time // sites that went down lately, let through -> when
	since   time.Time            // of the hold; zero: nothing is held
	through bool                 // what is held was let through; until nothing would be held
	allowed string               // the newest order that was seen
	seen    bool                 // allowed is known
}

// order takes in the newest order about what is held, and tells whether it is new.
func (w *watchman) order(a *allowed) (fresh bool) {
	id := ""
	if a != nil {
		id = a.ID
	}
	fresh = w.seen && id != w.allowed && a != nil
	w.allowed, w.seen = id, true
	if fresh && !a.Drop && !w.since.IsZero() {
		w.through = true
	}
	return fresh
}

// watch is what the breaker does with one evaluation. With a limit (MaxSitesLost), sites
// that go down by the word of one vantage point alone, unordered, are held while
// together with those that went down within the window they are more than that share
// of what was in service, two at least, or all of it. It ends
// after Hold, when a second vantage point or the site's own balancer confirms, when they come
// back, or by an order. next is when to look again.
//
// Until settled, right after etcd came back, what settling finds is held, whoever says it.
func (w *watchman) watch(c health.BreakerConfig, before, after *health.States, settled, now time.Time) (publish *health.States, held *Held, next time.Time) {
	if before != nil && now.Before(settled) {
		if sites := settling(before, after); len(sites) > 0 {
			if w.since.IsZero() {
				w.since, w.through = now, false
			}
			if w.through {
				return after, nil, settled
			}
			return keep(before, after, sites, "held while the fleet votes again after etcd came back: "), &Held{Sites: sites, Since: w.since, Until: settled,
				Why: "etcd came back and would take most sites out at once, before all have voted again: " + strings.Join(sites, ", ")}, settled
		}
		next = settled
	}
	if c.MaxSitesLost <= 0 || before == nil || before.Revision == 0 {
		w.since, w.through, w.fell = time.Time{}, false, nil
		return after, nil, next
	}
	c = c.WithDefaults()
	maps.DeleteFunc(w.fell, func(site string, at time.Time) bool {
		return now.Sub(at) > c.Window || after.Sites[site].State.Available()
	})
	var falling, doubtful []string
	inService := len(w.fell)
	left := 0
	for name, st := range after.Sites {
		old, known := before.Sites[name]
		was := known && old.State.Available()
		if was {
			inService++
		}
		if st.State.Available() {
			left++
		} else if was && !ordered(st) {
			falling = append(falling, name)
			if !st.Confirmed() {
				doubtful = append(doubtful, name)
			}
		}
	}
	slices.Sort(doubtful)
	lost := len(falling) + len(w.fell)
	tooMany := len(doubtful) > 0 && (left == 0 || lost >= 2 && float64(lost) > c.MaxSitesLost*float64(inService))
	switch {
	case !tooMany:
		w.since, w.through = time.Time{}, false
	case w.through:
	case w.since.IsZero():
		w.since = now
	case !now.Before(w.since.Add(c.Hold)):
		w.through = true
	}
	if tooMany && !w.through {
		held = &Held{Sites: doubtful, Since: w.since, Until: w.since.Add(c.Hold),
			Why: fmt.Sprintf("%d of %d sites in service would go down within %v, by the word of one vantage point alone for %s; more than %.3g %% are held",
				lost, inService, c.Window, strings.Join(doubtful, ", "), 100*c.MaxSitesLost)}
		publish = keep(before, after, doubtful, "held by the breaker until "+held.Until.UTC().Format(time.RFC3339)+": ")
		next = health.Sooner(next, held.Until)
	} else {
		publish = after
	}
	for _, name := range falling {
		if held == nil || !slices.Contains(doubtful, name) {
			if w.fell == nil {
				w.fell = map[string]time.Time{}
			}
			w.fell[name] = now
		}
	}
	return publish, held, next
}

// keep gives after with some sites in the state that they had before.
func keep(before, after *health.States, sites []string, why string) *health.States {
	kept := *after
	kept.Sites = maps.Clone(after.Sites)
	for _, name := range sites {
		st := after.Sites[name]
		st.State, st.Since = before.Sites[name].State, before.Sites[name].Since
		st.Why = why + st.Why
		kept.Sites[name] = st
	}
	return &kept
}
