package geo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"time"

	"gslb/stamp"
)

// Watcher looks at the database files of a Config for replacements. A file may be
// replaced by rename, which is best, or rewritten in place.
type Watcher struct {
	// Slowly is given the work of opening files to run, such as parallel.Background; nil: it runs at once.
	Slowly func(open func())

	cfg  Config
	log  *slog.Logger
	db   *DB        // in use; nil: none yet
	seen []sighting // of the files when they were last opened, in the Config's order

	mu     sync.Mutex
	status WatchStatus // guarded by mu
}

// WatchStatus tells whether the files as they lie there are in use.
type WatchStatus struct {
	// Reloaded is when the Watcher last handed over new databases; zero: not yet.
	Reloaded time.Time `json:"reloaded,omitzero"`
	// Fault says which files can't be used and why; empty: all is well. While
	// there is a fault the databases opened before it stay in use.
	Fault string `json:"fault,omitempty"`
	// Since is when the fault was first seen.
	Since time.Time `json:"since,omitzero"`
}

// sighting is how a file looked: its stamp or why there is none.
type sighting struct {
	stamp stamp.Stamp
	fault string
}

// NewWatcher makes a Watcher for a valid Config. db is what is in use, opened
// from it; files replaced since then count as changed. With a nil db the first
// look opens and hands over whatever is there.
func NewWatcher(cfg Config, db *DB, log *slog.Logger) *Watcher {
	w := &Watcher{cfg: cfg.WithDefaults(), log: log, db: db}
	if db != nil {
		for _, s := range db.sources {
			w.seen = append(w.seen, sighting{stamp: s.stamp})
		}
	}
	return w
}

// Watch runs a Watcher that takes the files as they are now for known. A caller
// that has opened them before should use [NewWatcher], which misses no
// replacement in between.
func Watch(ctx context.Context, cfg Config, log *slog.Logger, reloaded func(*DB)) error {
	w := NewWatcher(cfg, nil, log)
	w.seen = w.sight()
	return w.Run(ctx, reloaded)
}

// Run looks at the files at once and then every Config.Reload. When any has
// changed it opens the changed ones, checks them whole, and calls reloaded from
// this goroutine with a new DB; files that have not changed are not read again. If
// any of the set is bad nothing is handed over: that is logged once, shown by
// Status, and tried again when a file changes. Run returns nil when ctx ends,
// and for no other reason.
func (w *Watcher) Run(ctx context.Context, reloaded func(*DB)) error {
	tick := time.NewTicker(w.cfg.Reload)
	defer tick.Stop()
	for {
		if db := w.look(); db != nil {
			reloaded(db)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Status may be called at any time from any goroutine.
func (w *Watcher) Status() WatchStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

func (w *Watcher) sight() []sighting {
	list := make([]sighting, len(w.cfg.Databases))
	for i, path := range w.cfg.Databases {
		st, err := stampOf(path)
		list[i].stamp = st
		if err != nil {
			list[i].fault = err.Error()
		}
	}
	return list
}

// look returns a new DB if the files have changed and are good.
func (w *Watcher) look() *DB {
	now := w.sight()
	if slices.Equal(now, w.seen) {
		return nil
	}
	// Kept from before opening: what changes meanwhile is a change at the next look.
	w.seen = now
	if err := w.missing(now); err != nil {
		w.bad(err)
		return nil
	}
	var db *DB
	var err error
	slowly := w.Slowly
	if slowly == nil {
		slowly = func(f func()) { f() }
	}
	slowly(func() { db, err = open(w.cfg, w.db) })
	if err != nil {
		if errno := syscall.Errno(0); errors.As(err, &errno) {
			w.seen = nil // permissions and disks get well without a change to the file
		}
		w.bad(err)
		return nil
	}
	return w.good(db)
}

// missing joins the faults of files that can't even be looked at: as long as there is
// one, opening the others would be in vain.
func (w *Watcher) missing(now []sighting) error {
	var faults []error
	for i, s := range now {
		if s.fault != "" {
			faults = append(faults, fmt.Errorf("geo database %s: %s", w.cfg.Databases[i], s.fault))
		}
	}
	return errors.Join(faults...)
}

func (w *Watcher) bad(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status.Fault == "" {
		w.status.Since = time.Now()
	}
	if w.status.Fault == err.Error() {
		return
	}
	w.status.Fault = err.Error()
	w.log.Error("geo databases can't be reloaded; the ones opened before stay in use", "error", err)
}

// good returns db unless it is what is in use already, a bad file having been
// put back as it was.
func (w *Watcher) good(db *DB) *DB {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Fault, w.status.Since = "", time.Time{}
	if w.db != nil && slices.Equal(w.db.sources, db.sources) {
		w.log.Info("geo databases are back as they were")
		return nil
	}
	w.db = db
	w.status.Reloaded = time.Now()
	return db
}
