package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gslb/config"
	"gslb/history"
	"gslb/store"
)

// A node that does not get or take a revision looks again after a while: what it
// lacks, such as a file of its own or a key that another node makes, may come. It does
// so soon at first, and less and less often.
const (
	contentRetry = 2 * time.Second
	refusedRetry = time.Second
	refusedMost  = time.Minute
)

// follower keeps a node with node.topology = "etcd" at the revision that the head
// in etcd says. What was served last is on disk, for a start without etcd.
type follower struct {
	disk *history.Disk
	book *history.Book
	kick chan struct{} // capacity 1: the head may be another

	mu      sync.Mutex
	head    *history.Head    // the newest in etcd; nil: not heard yet
	headErr error            // why it cannot be read
	seen    history.Head     // the newest that was followed
	serving history.Revision // Number 0: none
	file    string           // the topology's own file of serving
	problem string           // why another is not served
	refused int              // how often the wanted one was refused in turn; followHead's own
	wanted  int64            // the one that is to be served
	held    string           // sum of the one that the breaker holds
	passed  string           // sum of one that it held, and that is let through
}

func openFollower(cfg *config.Config) (*follower, error) {
	disk, err := history.OpenDisk(topologyFolder(cfg))
	return &follower{disk: disk, kick: make(chan struct{}, 1)}, err
}

// resume gives the configuration with the topology that was served last. Where
// there is none, or it cannot be read any more, cfg stays as it is.
func (f *follower) resume(path string, cfg *config.Config, log *slog.Logger) *config.Config {
	saved, bundle, err := f.disk.Load()
	f.seen = saved.Seen
	if err == nil && saved.Serving.Number == 0 {
		return cfg
	}
	file := ""
	if err == nil {
		file, err = f.disk.Place(saved.Serving, bundle)
	}
	var full *config.Config
	if err == nil {
		full, err = config.LoadBoth(path, file)
	}
	if err != nil {
		f.problem = fmt.Sprintf("the topology that was served last cannot be read: %v", f.plain(saved.Serving, err))
		log.Error("starting without a topology", "error", f.problem)
		return cfg
	}
	f.serving, f.file = saved.Serving, file
	log.Info("starting with the topology that was served last", "revision", f.serving.Number)
	return full
}

// abandon takes it that what was served last cannot be served any more, such as for a
// file of the node that is gone: the node starts without, and takes what etcd has.
func (f *follower) abandon(err error, log *slog.Logger) {
	f.problem = fmt.Sprintf("revision %d, which was served last, cannot be served any more: %s", f.serving.Number, f.plain(f.serving, err))
	f.serving, f.file = history.Revision{}, ""
	log.Error("starting without a topology", "error", f.problem)
}

// take is told of the head by the store.
func (f *follower) take(v store.View) {
	if v.Stale {
		return // what was served last is on disk, and newer than that is not known
	}
	head := history.Head{}
	var err error
	if raw, ok := v.KV[history.HeadKey]; ok {
		head, err = history.ReadHead(raw)
	}
	f.mu.Lock()
	f.head, f.headErr = &head, err
	f.mu.Unlock()
	f.wake()
}

// pass lets the revision through that the breaker holds.
func (f *follower) pass() {
	f.mu.Lock()
	f.passed = f.held
	f.mu.Unlock()
	f.wake()
}

func (f *follower) wake() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// plain takes the folder of a revision out of what is wrong with its files.
func (f *follower) plain(r history.Revision, err error) string {
	return strings.ReplaceAll(err.Error(), f.disk.Folder(r)+string(filepath.Separator), "")
}

// newest is the newest head that was heard of; nil: none yet.
func (f *follower) newest() (*history.Head, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head, f.headErr
}

// topologyFile is the file of the topology in etcd that is served; "": none.
func (n *node) topologyFile() string {
	if n.follow == nil {
		return ""
	}
	n.follow.mu.Lock()
	defer n.follow.mu.Unlock()
	return n.follow.file
}

// followHead puts the revision that the head says in force, or says why not; what
// was served is served on then. It returns when to look again; 0: at the next change.
func (n *node) followHead(ctx context.Context) (again time.Duration) {
	f := n.follow
	head, err := f.newest()
	switch {
	case head == nil:
		return 0
	case err != nil:
		n.notFollowed(0, err.Error())
		return 0
	}
	if why := head.StepsBack(f.seen); why != "" {
		n.notFollowed(head.For(n.name).Number, fmt.Sprintf("%s: held; gslb rollback %d, or gslb apply, orders anew what all are to serve", why, head.Stable.Number))
		return 0
	}
	want := head.For(n.name)
	if want.Number == 0 {
		n.notFollowed(0, "")
		return 0
	}
	defer func() { n.tryCanary(ctx, *head) }()
	if want.Number == f.serving.Number && want.Sum == f.serving.Sum {
		if head.Serial != f.seen.Serial {
			n.followed(*head, want, nil)
		} else {
			n.notFollowed(want.Number, "")
		}
		return 0
	}
	bundle, err := f.book.Content(ctx, want)
	if err != nil {
		n.notFollowed(want.Number, fmt.Sprintf("it cannot be read from etcd: %v", err))
		return contentRetry
	}
	file, err := f.disk.Place(want, bundle)
	if err == nil {
		f.mu.Lock()
		// A rollback is for when things are bad already, and what is forced was seen.
		force := f.passed == want.Sum || want.Forced || want.From != 0 || f.serving.Number == 0
		f.mu.Unlock()
		err = guarded(ctx, func(context.Context) error { return n.reload(reloading{topology: file, force: force}) })
	}
	if errors.Is(err, errHeld) {
		f.mu.Lock()
		f.held = want.Sum
		f.mu.Unlock()
		n.notFollowed(want.Number, fmt.Sprintf("%v: gslb breaker allow lets it through, gslb rollback takes it back", err))
		return 0
	}
	if err != nil {
		if f.wanted != want.Number {
			f.refused = 0
		}
		n.notFollowed(want.Number, f.plain(want, err))
		f.refused++
		return min(refusedRetry<<min(f.refused-1, 10), refusedMost)
	}
	f.refused = 0
	f.mu.Lock()
	f.file = file
	f.mu.Unlock()
	n.followed(*head, want, bundle)
	n.log.Info("serving a new revision of the topology", "revision", want.Number, "who", want.Who, "why", want.Why)
	return 0
}

// followed notes which revision is served now, on disk too. bundle nil: the one before.
func (n *node) followed(head history.Head, r history.Revision, bundle history.Bundle) {
	f := n.follow
	var err error
	if bundle == nil {
		_, bundle, err = f.disk.Load()
	}
	f.mu.Lock()
	f.seen, f.serving = head, r
	f.mu.Unlock()
	if err == nil {
		err = f.disk.Save(history.Saved{Seen: head, Serving: r}, bundle)
	}
	text := ""
	if err != nil {
		text = fmt.Sprintf("the topology's copy on disk was not written, a start without etcd would not have it: %v", err)
		n.log.Error(text)
	}
	n.fault("topology copy", text)
	f.disk.Keep(r)
	n.notFollowed(r.Number, "")
}

// notFollowed notes which revision is to be served, and why it is not; "": it is.
func (n *node) notFollowed(wanted int64, why string) {
	f := n.follow
	f.mu.Lock()
	serving, before := f.serving.Number, f.problem
	f.wanted, f.problem = wanted, why
	f.mu.Unlock()
	text := ""
	if why != "" {
		text = fmt.Sprintf("revision %d of the topology is not served: %s", wanted, why)
		if serving > 0 {
			text += fmt.Sprintf("; revision %d is served on", serving)
		}
		if why != before {
			n.log.Error("revision of the topology not served; what was served before is still served", "revision", wanted, "serving", serving, "why", why)
		}
	}
	n.fault("topology", text)
	if wanted == serving {
		wanted = 0
	}
	n.fleet.Serving(serving, wanted, why)
}
