package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gslb/health"
	"gslb/history"
	"gslb/store"
)

// SetRelease says which content generation the users of a steered name, or of all
// that have none of their own (health.AllNames), are to see. When it returns nil the
// order is committed and, if Run is running, in force on this node. A zero Since is now.
func (f *Fleet) SetRelease(ctx context.Context, r health.Release) error {
	if r.Since.IsZero() {
		r.Since = f.now().UTC()
	}
	if r.Who == "" {
		r.Who = "somebody on " + f.cfg.Node
	}
	if err := checkRelease(r); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("release for %s: %w", r.Name, err)
	}
	e := history.Event{At: f.now(), Kind: history.KindGeneration, Node: f.cfg.Node, Who: r.Who, Why: r.Why, Text: fmt.Sprintf("%s is released for %s", r.Generation, nameText(r.Name))}
	key, event := e.Entry()
	rev, err := f.store.Commit(ctx, store.Commit{Put: map[string][]byte{keyOf(kindRelease, r.Name): raw, key: event}})
	if err != nil {
		return fmt.Errorf("release for %s not set: %w", nameText(r.Name), err)
	}
	f.awaitRevision(ctx, rev)
	return nil
}

// ClearRelease takes a release back: sites are then given whatever they serve. None
// there is no error.
func (f *Fleet) ClearRelease(ctx context.Context, name string, by history.Order) error {
	key := keyOf(kindRelease, name)
	if _, ok, err := f.store.Get(ctx, key); err != nil {
		return fmt.Errorf("release for %s not cleared: %w", nameText(name), err)
	} else if !ok {
		return nil
	}
	if by.Who == "" {
		by.Who = "somebody on " + f.cfg.Node
	}
	e := history.Event{At: f.now(), Kind: history.KindGeneration, Node: f.cfg.Node, Who: by.Who, Why: by.Why, Text: "no release any more for " + nameText(name)}
	entry, event := e.Entry()
	rev, err := f.store.Commit(ctx, store.Commit{Delete: []string{key}, Put: map[string][]byte{entry: event}})
	if err != nil {
		return fmt.Errorf("release for %s not cleared: %w", nameText(name), err)
	}
	f.awaitRevision(ctx, rev)
	return nil
}

func checkRelease(r health.Release) error {
	switch {
	case r.Name == "":
		return errors.New(`name "": must be a steered name, or "*" for all`)
	case r.Generation == "" || health.Generation(r.Generation) != r.Generation:
		return fmt.Errorf("generation %q: must be one word of 1 to %d characters, without commas", r.Generation, health.MaxGeneration)
	case strings.TrimSpace(r.Why) == "":
		return errors.New(`why "": must say why, for those who wonder later`)
	}
	return nil
}

func nameText(name string) string {
	if name == health.AllNames {
		return "all names that have none of their own"
	}
	return name
}
