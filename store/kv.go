package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrConflict says that a key was not at the revision that a PutIf, DeleteIf
// or Commit expected: somebody else was quicker. Read again and decide again.
var ErrConflict = errors.New("the key has changed in the meantime")

// Value is what stands under one key.
type Value struct {
	Data        []byte
	ModRevision int64 // when it was last written
}

// Put writes a key without a lease and returns the revision.
func (s *Store) Put(ctx context.Context, key string, val []byte) (int64, error) {
	return s.commit(ctx, "put "+key, Commit{Put: map[string][]byte{key: val}})
}

// PutIf writes a key that was last written at modRevision (0: that does not
// exist), or gives ErrConflict.
func (s *Store) PutIf(ctx context.Context, key string, val []byte, modRevision int64) (int64, error) {
	return s.commit(ctx, "put "+key, Commit{At: map[string]int64{key: modRevision}, Put: map[string][]byte{key: val}})
}

// Delete removes a key. One that does not exist is no error.
func (s *Store) Delete(ctx context.Context, key string) (int64, error) {
	return s.commit(ctx, "delete "+key, Commit{Delete: []string{key}})
}

// DeleteIf removes a key that was last written at modRevision, or gives ErrConflict.
func (s *Store) DeleteIf(ctx context.Context, key string, modRevision int64) (int64, error) {
	return s.commit(ctx, "delete "+key, Commit{At: map[string]int64{key: modRevision}, Delete: []string{key}})
}

// Commit is a transaction: when each key of At was last written at the given
// revision (0: does not exist), everything in Put is written and everything in
// Delete removed, all at one revision; else nothing.
type Commit struct {
	At     map[string]int64
	Put    map[string][]byte
	Delete []string
	// Passing is written too, and gone again after For, unless it is written anew. That time is
	// measured by the leader of etcd, by a clock that nobody sets; with another leader it may begin anew.
	Passing map[string][]byte
	For     time.Duration
}

// Commit runs the transaction and returns its revision, or ErrConflict. etcd
// takes 128 operations in one.
func (s *Store) Commit(ctx context.Context, c Commit) (int64, error) {
	return s.commit(ctx, "commit", c)
}

func (s *Store) commit(ctx context.Context, what string, c Commit) (int64, error) {
	cli, err := s.client()
	if err != nil {
		return 0, fmt.Errorf("store: %s: %w", what, err)
	}
	ctx, cancel := bounded(ctx, s.timings.call)
	defer cancel()
	var conds []clientv3.Cmp
	for k, rev := range c.At {
		conds = append(conds, clientv3.Compare(clientv3.ModRevision(s.cfg.Prefix+k), "=", rev))
	}
	var ops []clientv3.Op
	for k, v := range c.Put {
		ops = append(ops, clientv3.OpPut(s.cfg.Prefix+k, string(v)))
	}
	if len(c.Passing) > 0 {
		lease, err := cli.Grant(ctx, int64((c.For+time.Second-1)/time.Second))
		if err != nil {
			return 0, s.fault(what, err)
		}
		for k, v := range c.Passing {
			ops = append(ops, clientv3.OpPut(s.cfg.Prefix+k, string(v), clientv3.WithLease(lease.ID)))
		}
	}
	for _, k := range c.Delete {
		ops = append(ops, clientv3.OpDelete(s.cfg.Prefix+k))
	}
	resp, err := cli.Txn(ctx).If(conds...).Then(ops...).Commit()
	if err != nil {
		return 0, s.fault(what, err)
	}
	s.heard(resp.Header.Revision)
	if !resp.Succeeded {
		return 0, fmt.Errorf("store: %s: %w", what, ErrConflict)
	}
	return resp.Header.Revision, nil
}

// Get reads a key as the majority of the cluster has it. ok is false when there is none.
func (s *Store) Get(ctx context.Context, key string) (v Value, ok bool, err error) {
	resp, err := s.get(ctx, "get "+key, s.cfg.Prefix+key)
	if err != nil {
		return Value{}, false, err
	}
	if len(resp.Kvs) == 0 {
		return Value{}, false, nil
	}
	return Value{Data: resp.Kvs[0].Value, ModRevision: resp.Kvs[0].ModRevision}, true, nil
}

// KV is a key with its value.
type KV struct {
	Key string // relative to Prefix
	Value
}

// Range tells which keys of a prefix are wanted, in their order.
type Range struct {
	From       string // what follows the prefix of the first key; "": the first
	Before     string // likewise of the key after the last; "": none
	Limit      int    // 0: all
	Descending bool   // the last keys first
	KeysOnly   bool
}

// List reads keys under a prefix, which is relative to Prefix, as the majority of
// the cluster has them.
func (s *Store) List(ctx context.Context, prefix string, r Range) ([]KV, error) {
	full := s.cfg.Prefix + prefix
	end := clientv3.GetPrefixRangeEnd(full)
	if r.Before != "" {
		end = full + r.Before
	}
	opts := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(int64(r.Limit))}
	order := clientv3.SortAscend
	if r.Descending {
		order = clientv3.SortDescend
	}
	opts = append(opts, clientv3.WithSort(clientv3.SortByKey, order))
	if r.KeysOnly {
		opts = append(opts, clientv3.WithKeysOnly())
	}
	resp, err := s.get(ctx, "list "+prefix, full+r.From, opts...)
	if err != nil {
		return nil, err
	}
	out := make([]KV, len(resp.Kvs))
	for i, kv := range resp.Kvs {
		out[i] = KV{string(kv.Key[len(s.cfg.Prefix):]), Value{kv.Value, kv.ModRevision}}
	}
	return out, nil
}

// Count tells how many keys there are under a prefix.
func (s *Store) Count(ctx context.Context, prefix string) (int64, error) {
	resp, err := s.get(ctx, "count "+prefix, s.cfg.Prefix+prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return resp.Count, nil
}

func (s *Store) get(ctx context.Context, what, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	cli, err := s.client()
	if err != nil {
		return nil, fmt.Errorf("store: %s: %w", what, err)
	}
	ctx, cancel := bounded(ctx, s.timings.call)
	defer cancel()
	resp, err := cli.Get(ctx, key, opts...)
	if err != nil {
		return nil, s.fault(what, err)
	}
	s.heard(resp.Header.Revision)
	return resp, nil
}

// fault notes a failed exchange and words it. A call that its own caller ended
// says nothing about etcd.
func (s *Store) fault(what string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer from etcd %v in time: %w", s.dialer.endpoints, err)
	}
	if !errors.Is(err, context.Canceled) {
		s.failed(err)
	}
	return fmt.Errorf("store: %s: %w", what, err)
}
