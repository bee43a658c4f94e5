package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	rev, err := f.store.Commit(ctx, store.Commit{Put: map[string][]byte{keyOf(kindOverride, o.Site): raw, key: event}})
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

// expired are the keys of overrides that ended a grace ago, with the revisions
// at which they were written. An override is out of force at its end by each
// node's own clock; it is removed a while later, so that a clock that is a
// little fast does not end it for everybody.
func expired(v store.View, overrides []health.Override, now time.Time, grace time.Duration) (keys map[string]int64, next time.Time) {
	keys = map[string]int64{}
	for _, o := range overrides {
		if o.Until.IsZero() {
			continue
		}
		end := o.Until.Add(grace)
		if !o.Expired(now) {
			next = health.Sooner(next, o.Until)
		} else if now.Before(end) {
			next = health.Sooner(next, end)
		} else if key := keyOf(kindOverride, o.Site); v.Mod[key] != 0 && !v.Stale {
			keys[key] = v.Mod[key]
		}
	}
	return keys, next
}

// sweep removes expired overrides, unless they were renewed meanwhile.
func (f *Fleet) sweep(ctx context.Context, work <-chan map[string]int64) {
	for {
		select {
		case <-ctx.Done():
			return
		case keys := <-work:
			for key, rev := range keys {
				_, err := f.store.DeleteIf(ctx, key, rev)
				switch {
				case err == nil:
					f.log.Info("expired override removed", "key", key)
					if _, names, err := splitKey(key); err == nil {
						f.note(history.Event{At: f.now(), Kind: history.KindRelease, Node: f.cfg.Node, Site: names[0], Text: "the override has ended"})
					}
				case !errors.Is(err, store.ErrConflict) && ctx.Err() == nil:
					f.log.Warn("expired override not removed", "key", key, "error", err)
				}
			}
		}
	}
}
