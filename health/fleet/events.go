package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gslb/health"
	"gslb/history"
)

const (
	// maxPending bounds the events that wait for etcd; the oldest go first.
	maxPending = 1000
	// eventRetry is the pause after a write of events that failed.
	eventRetry = 5 * time.Second
)

// tell notes the sites that changed their state, for the fleet's time line. Of all
// nodes the first by name does so, so that each change is there once: all see the
// same. Around the end of that node a change may be there twice, or be missing.
//
//	this node     before             after    noted
//	not first                                 no
//	first         its first view              no: what was before is not known
//	first         any                stale    no: when etcd is back, in one
//	first         any                fresh    each site whose state is another
func (l *loop) tell(before, after *health.States, nodes []Node) {
	if after.Stale {
		return
	}
	known := l.told
	l.told = after
	if known == nil || len(nodes) == 0 || nodes[0].Name != l.f.cfg.Node {
		return
	}
	var events []history.Event
	for name, st := range after.Sites {
		old, there := known.Sites[name]
		for _, audience := range slices.Sorted(maps.Keys(st.Elsewhere)) {
			if _, was := old.Elsewhere[audience]; there && !was {
				events = append(events, history.Event{At: l.f.now(), Kind: history.KindHealth, Node: l.f.cfg.Node, Site: name, Text: st.Elsewhere[audience]})
			}
		}
		for _, audience := range slices.Sorted(maps.Keys(old.Elsewhere)) {
			if _, is := st.Elsewhere[audience]; there && !is {
				events = append(events, history.Event{At: l.f.now(), Kind: history.KindHealth, Node: l.f.cfg.Node, Site: name, Text: "is no longer down for the audience " + audience + " alone"})
			}
		}
		if text := window(old, st); there && text != "" {
			events = append(events, history.Event{At: l.f.now(), Kind: history.KindWindow, Node: l.f.cfg.Node, Site: name, Text: text})
		}
		if o := old.Override; o != nil && st.Override == nil && o.Expired(l.f.now()) {
			events = append(events, history.Event{At: l.f.now(), Kind: history.KindRelease, Node: l.f.cfg.Node, Site: name, Text: "the override has ended"})
		}
		if !there || old.State == st.State || st.Override != nil && ordered(st) || old.Override != nil && ordered(old) {
			continue // an order is an event of its own
		}
		events = append(events, history.Event{At: l.f.now(), Kind: history.KindHealth, Node: l.f.cfg.Node, Site: name, Text: fmt.Sprintf("%v, was %v: %s", st.State, old.State, st.Why)})
	}
	slices.SortFunc(events, func(a, b history.Event) int { return strings.Compare(a.Site, b.Site) })
	l.f.note(events...)
}

// Note queues events for the fleet's time line. It never waits.
func (f *Fleet) Note(events ...history.Event) { f.note(events...) }

// window tells that a window of maintenance has begun or ended between two statuses of
// a site; "": neither.
func window(before, after health.Status) string {
	in := func(st health.Status) bool {
		return st.Draining && (st.Override == nil || st.Override.Kind != health.Drain)
	}
	switch {
	case in(after) && !in(before):
		words, _, _ := strings.Cut(after.Why, "; ")
		return words
	case in(before) && !after.Draining:
		return "maintenance is over"
	}
	return ""
}

// note queues events for the time line. It never waits.
func (f *Fleet) note(events ...history.Event) {
	if len(events) == 0 {
		return
	}
	f.mu.Lock()
	f.pending = append(f.pending, events...)
	f.pending = f.pending[max(0, len(f.pending)-maxPending):]
	f.mu.Unlock()
	select {
	case f.noted <- struct{}{}:
	default:
	}
}

// record writes what was noted, until ctx ends. While etcd is away it waits there.
func (f *Fleet) record(ctx context.Context) {
	retry := time.NewTimer(time.Hour)
	retry.Stop()
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.noted:
		case <-retry.C:
		}
		f.mu.Lock()
		events := f.pending
		f.pending = nil
		f.mu.Unlock()
		if err := f.history.Add(ctx, events...); err != nil && ctx.Err() == nil {
			f.log.Warn("events not written yet", "events", len(events), "error", err)
			f.mu.Lock()
			f.pending = append(events, f.pending...)
			f.pending = f.pending[max(0, len(f.pending)-maxPending):]
			f.mu.Unlock()
			retry.Reset(eventRetry)
		}
	}
}

// overrideEvent is what an order for a site is in the time line.
func (f *Fleet) overrideEvent(o health.Override) history.Event {
	text := o.Kind.Past()
	if o.Kind == health.Share {
		text = fmt.Sprintf("takes %.3g %% of its new users", 100*o.Share)
		if o.Over > 0 {
			text += fmt.Sprintf(", gradually, in %v", o.Over)
		}
	}
	if !o.Until.IsZero() {
		text += " until " + o.Until.UTC().Format(time.RFC3339)
	}
	return history.Event{At: f.now(), Kind: history.KindOverride, Node: f.cfg.Node, Site: o.Site, Who: o.Who, Why: o.Why, Text: text}
}
