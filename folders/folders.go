// Package folders hears from the system which files of some folders have changed,
// so that nobody has to look at all of them. It knows nothing of what stands in
// them, and reads none.
//
// What it tells may be too much (a file was written as it was) and is never too
// little for local file systems: where events were lost, or a folder is another one
// than before, it says so. Network file systems do not tell of what other machines do.
package folders

import (
	"context"
	"errors"
	"time"
)

// ErrUnsupported is returned on systems that cannot tell.
var ErrUnsupported = errors.New("this system does not tell of changes in folders: only Linux does (inotify)")

// Change is what has happened since the last one.
type Change struct {
	Paths []string // files that may have changed, come or gone, each once
	// All: more has happened than Paths tells; every file must be looked at.
	All bool
}

// None tells whether nothing has happened.
func (c Change) None() bool { return len(c.Paths) == 0 && !c.All }

// Times are how long Watcher.Next waits.
type Times struct {
	// Settle is how long nothing must happen for a change to be over: what is
	// written in several steps is told once, at its end.
	Settle time.Duration
	// Most bounds that, from the first event on, where something happens all the time.
	Most time.Duration
	// Look is how often Next returns though nothing happens. Folders that take the
	// place of others, be it by a symbolic link, are found out that often.
	Look time.Duration
}

// Watcher hears of changes in folders. It is used by one goroutine.
type Watcher struct {
	Times
	watcher // the system's
}

// New makes a Watcher of no folder. Close it when it is not used any more.
func New(t Times) (*Watcher, error) {
	w, err := open()
	if err != nil {
		return nil, err
	}
	return &Watcher{t, w}, nil
}

// Next waits until something has changed and has settled, for the time Look, or until
// ctx ends, which alone is told as an error beside those of the system.
func (w *Watcher) Next(ctx context.Context) (Change, error) {
	all := pending{paths: make(map[string]bool)}
	look := time.NewTimer(w.Look)
	defer look.Stop()
	settled := time.NewTimer(time.Hour)
	settled.Stop()
	defer settled.Stop()
	var most <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return Change{}, ctx.Err()
		case <-look.C:
			if most == nil {
				return all.change(), nil
			}
		case <-settled.C:
			return all.change(), nil
		case <-most:
			return all.change(), nil
		case e, ok := <-w.events():
			if !ok {
				return Change{}, w.failure()
			}
			w.take(e, &all)
			if settled.Reset(w.Settle); most == nil {
				most = time.After(w.Most)
			}
		}
	}
}

// pending is a change that has not settled.
type pending struct {
	paths map[string]bool
	all   bool
}

func (p *pending) change() Change {
	c := Change{All: p.all}
	for path := range p.paths {
		c.Paths = append(c.Paths, path)
	}
	return c
}
