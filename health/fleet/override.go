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

// seenWait bounds how long a caller waits until this node obeys an override that
// is already committed.
const seenWait = 2 * time.Second

// SetOverride writes an operator's order, in the place of an older one for the
// same site. When it returns nil the order is committed and, if Run is running,
// in force on this node; the others follow within moments. A zero Since is now;
// an empty Who becomes the node's name.
func (f *Fleet) SetOverride(ctx context.Context, o health.Override) error {
	now := f.now()
	if o.Since.IsZero() {
		o.Since = now
	}
	if o.Who == "" {
		o.Who = "somebody on " + f.cfg.Node
	}
	if o.Kind == health.Share {
		o.From = f.shareOf(o.Site)
	}
	if err := f.checkOverride(o, now); err != nil {
		return fmt.Errorf("override: %w", err)
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("override for site %q: %w", o.Site, err)
	}
	key, event := f.overrideEvent(o).Entry()
	// One that ends goes by itself, a while later: none of the nodes removes it, since
	// the clock of one that is wrong would end it for all.
	c := store.Commit{Put: map[string][]byte{key: event}}
	if order := map[string][]byte{keyOf(kindOverride, o.Site): raw}; o.Until.IsZero() {
		maps.Copy(c.Put, order)
	} else {
		c.Passing, c.For = order, min(o.Until.Sub(now), longest)+f.cfg.Grace
	}
	rev, err := f.store.Commit(ctx, c)
	if err != nil {
		return fmt.Errorf("override for site %q not set: %w", o.Site, err)
	}
	f.awaitRevision(ctx, rev)
	return nil
}

// shareOf is the part of its users that orders leave a site at the moment.
func (f *Fleet) shareOf(site string) float64 {
	st := f.published.Load().Site(site)
	switch {
	case !st.InService() && st.Override != nil:
		return 0
	case st.Override != nil && st.Override.Kind == health.Share:
		return 1 - st.Withheld
	}
	return 1
}

func (f *Fleet) checkOverride(o health.Override, now time.Time) error {
	switch {
	case !f.knows(o.Site):
		return f.unknownSite(o.Site)
	case !o.Kind.Known():
		return fmt.Errorf("kind %q: must be drain, up, down or share", o.Kind)
	case o.ShareFault() != nil:
		return o.ShareFault()
	case strings.TrimSpace(o.Why) == "":
		return errors.New(`why "": must say why, for those who wonder later`)
	case o.Expired(now):
		return fmt.Errorf("until %s: must be in the future, it is %s now", o.Until.Format(time.RFC3339), now.Format(time.RFC3339))
	}
	return nil
}

// ErrUnknownSite is of an order for a site that is not configured, and that etcd has
// no order for.
var ErrUnknownSite = errors.New("no such site")

// ClearOverride takes the order for a site back, also for one that is not configured
// any more. It tells whether there was one; none is no error, if the site exists, else ErrUnknownSite.
func (f *Fleet) ClearOverride(ctx context.Context, site string, by history.Order) (bool, error) {
	key := keyOf(kindOverride, site)
	_, ok, err := f.store.Get(ctx, key)
	if err != nil {
		return false, fmt.Errorf("override for site %q not cleared: %w", site, err)
	}
	if !ok {
		if !f.knows(site) {
			return false, fmt.Errorf("override: %w: %w", ErrUnknownSite, f.unknownSite(site))
		}
		return false, nil
	}
	if by.Who == "" {
		by.Who = "somebody on " + f.cfg.Node
	}
	e := history.Event{At: f.now(), Kind: history.KindRelease, Node: f.cfg.Node, Site: site, Who: by.Who, Why: by.Why, Text: "the override was taken back"}
	entry, event := e.Entry()
	rev, err := f.store.Commit(ctx, store.Commit{Delete: []string{key}, Put: map[string][]byte{entry: event}})
	if err != nil {
		return false, fmt.Errorf("override for site %q not cleared: %w", site, err)
	}
	// A delete of nothing makes no event, so there may be no view of that revision.
	if f.published.Load().Site(site).Override != nil {
		f.awaitRevision(ctx, rev)
	}
	return true, nil
}

func (f *Fleet) knows(site string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.topology.Sites, site)
}

func (f *Fleet) unknownSite(site string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Errorf("site %q is not known: must be one of %s", site, strings.Join(f.topology.Sites, ", "))
}

// awaitRevision waits until this node has published States of at least rev.
func (f *Fleet) awaitRevision(ctx context.Context, rev int64) {
	late := time.NewTimer(seenWait)
	defer late.Stop()
	for {
		f.mu.Lock()
		running, published := f.running, f.renewed
		f.mu.Unlock()
		if !running || f.published.Load().Revision >= rev {
			return
		}
		select {
		case <-published:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// longest bounds how long etcd is told to keep an override that ends.
const longest = 100 * 365 * 24 * time.Hour

// ending is when the next of the overrides ends, by this node's own clock; zero: none does.
func ending(overrides []health.Override, now time.Time) (next time.Time) {
	for _, o := range overrides {
		if !o.Until.IsZero() && !o.Expired(now) {
			next = health.Sooner(next, o.Until)
		}
	}
	return next
}
