package store

import (
	"maps"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// View is everything under a watched prefix at one revision. It is immutable:
// neither the maps nor the values may be changed.
type View struct {
	Revision int64             // of the newest change in it
	KV       map[string][]byte // keys relative to Store.Prefix
	Mod      map[string]int64  // the revision at which each key was last written
	Stale    bool              // etcd can't be reached, or this is the copy from disk
	// Changed are the keys that were written or removed since the view that the same
	// Watch gave before; nil: any may have been.
	Changed []string
}

// snapshot is a view and the cluster it came from.
type snapshot struct {
	View
	cluster uint64
}

// listed makes a snapshot of a list.
func listed(prefix string, resp *clientv3.GetResponse) snapshot {
	s := snapshot{cluster: resp.Header.ClusterId, View: View{
		Revision: resp.Header.Revision,
		KV:       make(map[string][]byte, len(resp.Kvs)),
		Mod:      make(map[string]int64, len(resp.Kvs)),
	}}
	for _, kv := range resp.Kvs {
		key := strings.TrimPrefix(string(kv.Key), prefix)
		s.KV[key], s.Mod[key] = kv.Value, kv.ModRevision
	}
	return s
}

// with returns the snapshot with the events applied.
func (s snapshot) with(prefix string, events []*clientv3.Event) snapshot {
	s.KV, s.Mod = maps.Clone(s.KV), maps.Clone(s.Mod)
	s.Changed = make([]string, 0, len(events))
	for _, e := range events {
		key := strings.TrimPrefix(string(e.Kv.Key), prefix)
		s.Changed = append(s.Changed, key)
		if e.Type == clientv3.EventTypeDelete {
			delete(s.KV, key)
			delete(s.Mod, key)
		} else {
			s.KV[key], s.Mod[key] = e.Kv.Value, e.Kv.ModRevision
		}
		s.Revision = max(s.Revision, e.Kv.ModRevision)
	}
	return s
}
