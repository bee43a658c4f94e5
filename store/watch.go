package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// Watch gives fn the view of everything under prefix, and again at each
// change, until ctx ends; it then returns nil. Calls of fn follow each other
// and should be short.
//
// The first call comes as soon as etcd answers; when it does not within two
// seconds, with the last-known-good copy that a Watch of the same name left on
// disk, marked Stale. Without a copy it waits for etcd. When etcd is lost, fn
// gets the last view marked Stale, and when it is back a fresh one: what
// happened in between is seen as one change. A view that is older than the
// last one is refused, unless it comes from another cluster.
//
// Name is the copy's file name: letters, digits, dot, dash and underscore. It
// must be one Watch's own.
func (s *Store) Watch(ctx context.Context, name, prefix string, fn func(View)) error {
	copies, err := newCopies(s.lkgDir, name, s.cfg.Prefix+prefix)
	if err != nil {
		return fmt.Errorf("store: watch %q: %w", prefix, err)
	}
	w := &watcher{store: s, prefix: prefix, fn: fn, copies: copies, log: s.log.With("watch", name)}
	saver := make(chan struct{})
	saveCtx, stop := context.WithCancel(context.Background())
	go func() {
		defer close(saver)
		copies.run(saveCtx, s.timings.save, w.log)
	}()
	defer func() { stop(); <-saver }()
	w.run(ctx)
	return nil
}

// watcher is one running Watch. Its fields belong to that one goroutine.
type watcher struct {
	store  *Store
	prefix string
	fn     func(View)
	copies *copies
	log    *slog.Logger

	last   snapshot // the newest one accepted; what is on disk, at first
	stale  bool     // last was given to fn as stale
	given  bool     // fn has been called
	warned string   // the fault that was logged last, so as not to repeat it
	limit  patience // of one attempt to list
}

func (w *watcher) run(ctx context.Context) {
	saved, err := w.copies.load()
	if err != nil {
		w.log.Warn("last-known-good copy refused", "error", err)
	}
	w.last = saved
	pause := w.store.timings.retry / 10
	w.limit = newPatience(w.store.timings.list)
	resume := false
	for ctx.Err() == nil {
		cli, err := w.reach(ctx, resume)
		if err == nil {
			pause = w.store.timings.retry / 10
			w.warned = ""
			err = w.follow(ctx, cli)
			resume = !errors.Is(err, rpctypes.ErrCompacted) && !errors.Is(err, errOther)
			if resume {
				w.log.Debug("watch lost, going on where it was", "revision", w.last.Revision, "error", err)
			} else {
				w.log.Debug("watch lost, listing again", "error", err)
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if resume = false; errors.Is(err, errOther) {
			continue
		}
		w.lost(err)
		sleep(ctx, pause/2+rand.N(pause))
		pause = min(2*pause, w.store.timings.retry)
	}
}

// errOther says that etcd is not where the last snapshot was: all is to be listed.
var errOther = errors.New("etcd is another cluster, or of another time")

// reach makes sure that what etcd has is known up to some revision: by a list or,
// to resume a watch that was lost, by asking for that revision alone. A fleet of fifty nodes that
// all list again at one hiccup would make the next one.
func (w *watcher) reach(ctx context.Context, resume bool) (*clientv3.Client, error) {
	if !resume {
		cli, snap, err := w.list(ctx)
		if err == nil {
			err = w.accept(snap)
		}
		return cli, err
	}
	ctx, cancel := context.WithTimeout(ctx, w.store.timings.list)
	defer cancel()
	cli, err := w.store.client()
	if err != nil {
		w.store.failed(err)
		return nil, err
	}
	resp, err := cli.Get(ctx, w.store.cfg.Prefix+w.prefix, clientv3.WithKeysOnly())
	if err != nil {
		return nil, w.store.fault("watch "+w.prefix, err)
	}
	if resp.Header.ClusterId != w.last.cluster || resp.Header.Revision < w.last.Revision {
		return nil, errOther
	}
	w.store.heard(resp.Header.Revision)
	return cli, nil
}

// list reads the whole prefix, as the majority of the cluster has it.
func (w *watcher) list(ctx context.Context) (_ *clientv3.Client, _ snapshot, err error) {
	ctx, cancel := w.limit.bound(ctx)
	defer func() { cancel(); w.limit.learn(err) }()
	cli, err := w.store.client()
	if err != nil {
		w.store.failed(err)
		return nil, snapshot{}, err
	}
	resp, err := cli.Get(ctx, w.store.cfg.Prefix+w.prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, snapshot{}, w.store.fault("list "+w.prefix, err)
	}
	w.store.heard(resp.Header.Revision)
	return cli, listed(w.store.cfg.Prefix, resp), nil
}

// accept takes a listed snapshot as the newest, or refuses it.
//
//	cluster   revision   verdict
//	same      newer, ==  accepted
//	same      older      refused: etcd went back in time (a restored or wiped cluster)
//	another   any        accepted and logged
//	none yet  any        accepted
func (w *watcher) accept(snap snapshot) error {
	switch {
	case w.last.cluster == 0:
	case w.last.cluster != snap.cluster:
		w.log.Warn("etcd is another cluster than before: taking its view", "cluster", hexID(snap.cluster), "before", hexID(w.last.cluster), "revision", snap.Revision)
	case snap.Revision < w.last.Revision:
		err := fmt.Errorf("etcd went back in time: it has revision %d of cluster %s, revision %d was seen before; if it was restored on purpose, stop this node, remove %s and start it again",
			snap.Revision, hexID(snap.cluster), w.last.Revision, w.copies.path)
		w.store.failed(err)
		return err
	}
	w.give(snap)
	return nil
}

// give hands a fresh snapshot on.
func (w *watcher) give(snap snapshot) {
	w.last, w.stale, w.given = snap, false, true
	w.copies.save(snap)
	w.fn(snap.View)
}

// lost tells fn that etcd can't be reached, once, and logs each new reason.
func (w *watcher) lost(err error) {
	if msg := err.Error(); msg != w.warned {
		w.warned = msg
		w.log.Warn("etcd can't be followed: keeping the last known view", "revision", w.last.Revision, "error", err)
	}
	if w.last.cluster == 0 || w.given && w.stale {
		return
	}
	view := w.last.View
	view.Stale, view.Changed = true, nil
	w.stale, w.given = true, true
	w.fn(view)
}

// follow watches from the last snapshot on, and returns when that is no longer
// possible. Three things find a dead watch: its own error, the connection's
// state, and heartbeats that stay without an answer.
func (w *watcher) follow(ctx context.Context, cli *clientv3.Client) error {
	// A member that lost its leader must say so: it would be silent else.
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	opened := w.open(ctx, cli)
	var events clientv3.WatchChan
	broken := disconnected(ctx, cli.ActiveConnection())
	beat := time.NewTicker(w.store.timings.beat)
	defer beat.Stop()
	heard := time.Now()
	for {
		select {
		case events = <-opened:
			opened, heard = nil, time.Now()
		case resp, ok := <-events:
			if !ok {
				return errors.New("watch ended")
			}
			if err := w.take(resp); err != nil {
				return err
			}
			heard = time.Now()
		case <-broken:
			return errors.New("connection lost")
		case <-beat.C:
			if silent := time.Since(heard); silent > w.store.timings.silent {
				return fmt.Errorf("no sign of life for %v", silent.Round(time.Millisecond))
			}
			if events == nil {
				continue
			}
			if err := w.ask(ctx, cli); err != nil {
				return err
			}
		}
	}
}

// open asks for the watch in a goroutine, since etcd's client waits there for
// as long as it takes. The goroutine ends with ctx.
func (w *watcher) open(ctx context.Context, cli *clientv3.Client) <-chan clientv3.WatchChan {
	opened := make(chan clientv3.WatchChan, 1)
	key, from := w.store.cfg.Prefix+w.prefix, w.last.Revision+1
	go func() { opened <- cli.Watch(ctx, key, clientv3.WithPrefix(), clientv3.WithRev(from)) }()
	return opened
}

// take applies one answer of the watch, which may be a sign of life only.
func (w *watcher) take(resp clientv3.WatchResponse) error {
	if err := resp.Err(); err != nil {
		return err
	}
	if resp.Header.ClusterId != w.last.cluster {
		return fmt.Errorf("%w: it became cluster %s", errOther, hexID(resp.Header.ClusterId))
	}
	w.store.heard(resp.Header.Revision)
	if len(resp.Events) > 0 {
		w.give(w.last.with(w.store.cfg.Prefix, resp.Events))
	}
	return nil
}

// ask requests a sign of life on the watch's own stream.
func (w *watcher) ask(ctx context.Context, cli *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, w.store.timings.beat)
	defer cancel()
	err := cli.RequestProgress(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // the stream is being opened again; silence will decide
	}
	return err
}

// disconnected closes its channel when the connection is no longer ready. The
// goroutine ends with ctx.
func disconnected(ctx context.Context, conn *grpc.ClientConn) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		for st := conn.GetState(); st == connectivity.Ready; st = conn.GetState() {
			if !conn.WaitForStateChange(ctx, st) {
				return
			}
		}
	}()
	return c
}

func hexID(id uint64) string { return fmt.Sprintf("%016x", id) }

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
