package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"gslb/health"
	"gslb/store"
)

// byHandRetry is when a drain that could not be written is tried again.
const byHandRetry = 2 * time.Second

// byHandWhy says in an override why it is there.
const byHandWhy = "it was down, and its failback is by hand: undrain it when it may have users again"

// withByHand adds the drains that this node knows of and that etcd does not yet
// have. What etcd has of a site counts, whoever wrote it.
func (l *loop) withByHand(overrides []health.Override, sites []string, now time.Time) []health.Override {
	if len(l.byHand) == 0 {
		return overrides
	}
	for _, o := range overrides {
		if !o.Expired(now) {
			delete(l.byHand, o.Site)
		}
	}
	all := append([]health.Override(nil), overrides...)
	for _, site := range sites {
		if o, ok := l.byHand[site]; ok {
			all = append(all, o)
		}
	}
	return all
}

// toByHand has the sites drained that go down now, after they were up (what a breaker
// holds does not), and are to wait for a person. Every node that sees it writes the same; the first one counts.
// While etcd is away it holds on this node alone. It returns when to try again.
func (l *loop) toByHand(in input, before, after *health.States) (next time.Time) {
	for site, st := range after.Sites {
		if !in.Rejoin[site].ByHand || st.State != health.Down || st.Override != nil {
			continue
		}
		if was := before.Site(site).State; was == health.Up || was == health.Degraded {
			l.byHand[site] = health.Override{Site: site, Kind: health.Drain, Who: "gslb on " + l.f.cfg.Node, Why: byHandWhy, Since: in.Now.UTC()}
		}
	}
	for _, o := range l.byHand {
		if !in.view.Stale {
			select {
			case l.orders <- o:
			default: // busy; later
			}
		}
		next = health.Sooner(next, in.Now.Add(byHandRetry))
	}
	return next
}

// drainByHand writes drains, unless there is an override for the site.
func (f *Fleet) drainByHand(ctx context.Context, orders <-chan health.Override) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-orders:
			raw, err := json.Marshal(o)
			if err == nil {
				order := keyOf(kindOverride, o.Site)
				key, event := f.overrideEvent(o).Entry()
				_, err = f.store.Commit(ctx, store.Commit{At: map[string]int64{order: 0}, Put: map[string][]byte{order: raw, key: event}})
			}
			switch {
			case err == nil:
				f.log.Warn("site drained until somebody takes it back: its failback is by hand", "site", o.Site)
			case !errors.Is(err, store.ErrConflict) && ctx.Err() == nil:
				f.log.Warn("site not drained in etcd yet, on this node alone", "site", o.Site, "error", err)
			}
		}
	}
}
