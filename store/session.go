package store

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// DefaultTTL is how long the keys of a node that died stay.
	DefaultTTL = 10 * time.Second
	// revokeWait bounds the good-bye of a node that stops.
	revokeWait = 2 * time.Second
	// batch is how many keys are written in one transaction; etcd takes 128.
	batch = 64
)

// Session is the set of keys that this node wants in etcd for as long as it
// lives. They stand under one lease: when the node dies they go within the
// TTL, and when the lease is lost (etcd was away for too long) a new one is
// made and all is written again. Announce and Withdraw change the set and
// never wait; Run does the work.
type Session struct {
	store *Store
	ttl   time.Duration
	kick  chan struct{} // capacity 1: the set may have changed

	mu   sync.Mutex
	want map[string][]byte // guarded by mu
	have map[string]held   // guarded by mu; what stands under the present lease

	limit patience // of one write; Run's own
}

// held is a key as it was written.
type held struct {
	val  []byte
	rev  int64
	sure bool // false while the outcome of writing is open: it may stand there or not
}

// Session returns a session with DefaultTTL.
func (s *Store) Session() *Session { return s.NewSession(DefaultTTL) }

// NewSession returns a session whose keys outlive the node by ttl, rounded up
// to seconds. etcd takes no less than one and a half election timeouts, two seconds.
func (s *Store) NewSession(ttl time.Duration) *Session {
	return &Session{store: s, ttl: ttl, kick: make(chan struct{}, 1), limit: newPatience(s.timings.list), want: map[string][]byte{}, have: map[string]held{}}
}

// Announce puts a key into the set, or changes its value. It is written when
// it differs from what stands there. val must not be changed afterwards.
func (x *Session) Announce(key string, val []byte) {
	x.mu.Lock()
	x.want[key] = val
	x.mu.Unlock()
	x.wake()
}

// Withdraw takes a key out of the set.
func (x *Session) Withdraw(key string) {
	x.mu.Lock()
	delete(x.want, key)
	x.mu.Unlock()
	x.wake()
}

// Repair compares what was written with a fresh view of it, and writes again
// what somebody else removed in the meantime.
func (x *Session) Repair(v View) {
	if v.Stale {
		return
	}
	x.mu.Lock()
	again := false
	for key, h := range x.have {
		if _, ok := v.KV[key]; !ok && h.sure && h.rev <= v.Revision {
			delete(x.have, key)
			again = true
		}
	}
	x.mu.Unlock()
	if again {
		x.wake()
	}
}

func (x *Session) wake() {
	select {
	case x.kick <- struct{}{}:
	default:
	}
}

// Run keeps the lease alive and the keys written until ctx ends; then it
// revokes the lease, which removes the keys, and returns nil. It must run once
// at a time.
func (x *Session) Run(ctx context.Context) error {
	pause := x.store.timings.retry / 10
	for ctx.Err() == nil {
		id, err := x.grant(ctx)
		if err != nil {
			sleep(ctx, pause)
			pause = min(2*pause, x.store.timings.retry)
			continue
		}
		pause = x.store.timings.retry / 10
		err = x.hold(ctx, id)
		if ctx.Err() != nil {
			x.revoke(id)
			break
		}
		x.store.log.Warn("lease lost, making a new one", "error", err)
	}
	return nil
}

// grant makes a lease. Nothing stands under it yet.
func (x *Session) grant(ctx context.Context) (clientv3.LeaseID, error) {
	cli, err := x.store.client()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, x.store.timings.list)
	defer cancel()
	seconds := int64((x.ttl + time.Second - 1) / time.Second)
	resp, err := cli.Grant(ctx, seconds)
	if err != nil {
		return 0, x.store.fault("grant lease", err)
	}
	x.store.heard(resp.Revision)
	x.mu.Lock()
	clear(x.have)
	x.mu.Unlock()
	return resp.ID, nil
}

// hold writes changes and keeps the lease alive until etcd says that it is gone, or
// ctx ends. While etcd does not answer it may be there still, and to make another one would be
// to write everything anew, when etcd has most to do. It is kept alive beside the writing,
// which can take longer than it lasts: a thousand keys, and an etcd that is slow.
func (x *Session) hold(ctx context.Context, id clientv3.LeaseID) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	lost := make(chan error, 1)
	wg.Go(func() {
		period := x.ttl / 3
		beat := time.NewTicker(period)
		defer beat.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-beat.C:
			}
			if err := x.keepAlive(ctx, id, period); errors.Is(err, rpctypes.ErrLeaseNotFound) {
				lost <- err
				cancel()
				return
			}
		}
	})
	retry := time.NewTimer(0) // also writes the set at the beginning
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			select {
			case err := <-lost:
				return err
			default:
				return ctx.Err()
			}
		case <-x.kick:
		case <-retry.C:
		}
		switch err := x.flush(ctx, id); {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			return err
		case err != nil:
			retry.Reset(x.store.timings.retry / 4)
		}
	}
}

// keepAlive renews the lease once.
func (x *Session) keepAlive(ctx context.Context, id clientv3.LeaseID, limit time.Duration) error {
	cli, err := x.store.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	resp, err := cli.KeepAliveOnce(clientv3.WithRequireLeader(ctx), id)
	if err != nil {
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err
		}
		return x.store.fault("keep lease alive", err)
	}
	x.store.heard(resp.Revision)
	return nil
}

// flush writes the difference between what is wanted and what stands there.
func (x *Session) flush(ctx context.Context, id clientv3.LeaseID) error {
	puts, gone := x.difference()
	for chunk := range slices.Chunk(puts, batch) {
		if err := x.write(ctx, id, chunk); err != nil {
			return err
		}
	}
	for _, key := range gone {
		if err := x.remove(ctx, id, key); err != nil {
			return err
		}
	}
	return nil
}

// put is one key to write.
type put struct {
	key string
	val []byte
}

func (x *Session) difference() (puts []put, gone []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for key, val := range x.want {
		if h := x.have[key]; !h.sure || !bytes.Equal(h.val, val) {
			puts = append(puts, put{key, val})
		}
	}
	for key := range x.have {
		if _, ok := x.want[key]; !ok {
			gone = append(gone, key)
		}
	}
	return puts, gone
}

// write puts keys under the lease in one transaction.
func (x *Session) write(ctx context.Context, id clientv3.LeaseID, puts []put) (err error) {
	cli, err := x.store.client()
	if err != nil {
		return err
	}
	ctx, cancel := x.limit.bound(ctx)
	defer func() { cancel(); x.limit.learn(err) }()
	ops := make([]clientv3.Op, len(puts))
	x.mu.Lock()
	for i, p := range puts {
		ops[i] = clientv3.OpPut(x.store.cfg.Prefix+p.key, string(p.val), clientv3.WithLease(id))
		x.have[p.key] = held{}
	}
	x.mu.Unlock()
	resp, err := cli.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return x.leaseFault("write under lease", err)
	}
	x.store.heard(resp.Header.Revision)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range puts {
		x.have[p.key] = held{p.val, resp.Header.Revision, true}
	}
	return nil
}

// remove deletes a key if it still stands under this lease: it may have become
// another node's.
func (x *Session) remove(ctx context.Context, id clientv3.LeaseID, key string) error {
	cli, err := x.store.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, x.store.timings.list)
	defer cancel()
	full := x.store.cfg.Prefix + key
	resp, err := cli.Txn(ctx).If(clientv3.Compare(clientv3.LeaseValue(full), "=", id)).Then(clientv3.OpDelete(full)).Commit()
	if err != nil {
		return x.leaseFault("remove "+key, err)
	}
	x.store.heard(resp.Header.Revision)
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.have, key)
	return nil
}

// leaseFault lets a lost lease through as it is; that is no fault of etcd's.
func (x *Session) leaseFault(what string, err error) error {
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return err
	}
	return x.store.fault(what, err)
}

// revoke gives the lease back, so that the keys go at once.
func (x *Session) revoke(id clientv3.LeaseID) {
	cli, err := x.store.client()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), revokeWait)
	defer cancel()
	if _, err := cli.Revoke(ctx, id); err != nil {
		x.store.log.Info("lease not revoked, it will run out", "ttl", x.ttl, "error", err)
	}
}
