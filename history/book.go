package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gslb/steady"
	"gslb/store"
)

const (
	root         = "history/"
	revisionRoot = root + "revisions/"
	contentRoot  = root + "content/"

	// HeadKey is the key of the Head, for those who watch it.
	HeadKey = root + "head"

	// partSize keeps each request well under etcd's bound of 1.5 MiB.
	partSize = 1 << 20
	// maxContent bounds the packed contents of all revisions that are kept: a
	// quarter of an embedded member's quota.
	maxContent = 64 << 20
	// freshContent is how long content that no revision names is left alone:
	// somebody may be about to name it.
	freshContent = 10 * time.Minute
)

// ErrConflict says that somebody else was quicker, or that an order was made for
// another state than there is.
var ErrConflict = errors.New("the topology has changed in the meantime")

// ErrNotFound says that there is no such revision.
var ErrNotFound = errors.New("no such revision of the topology")

// Book is the fleet's revisions.
type Book struct {
	store *store.Store
	log   *Log
	now   func() time.Time
}

// NewBook returns the fleet's revisions; each order is entered in the log.
func NewBook(st *store.Store, log *Log) *Book { return &Book{store: st, log: log, now: steady.Now} }

// stored is what is known of a content besides its parts.
type stored struct {
	Bytes int       `json:"bytes"` // packed
	Parts int       `json:"parts"`
	Since time.Time `json:"since"`
}

func contentKey(sum string) string { return contentRoot + sum }

func partKey(sum string, i int) string { return fmt.Sprintf("%s%s/%04d", contentRoot, sum, i) }

func revisionKey(n int64) string { return fmt.Sprintf("%s%010d", revisionRoot, n) }

// ReadHead reads a value of HeadKey.
func ReadHead(raw []byte) (Head, error) {
	var h Head
	if err := json.Unmarshal(raw, &h); err != nil {
		return Head{}, fmt.Errorf("the head of the topology cannot be read: %w", err)
	}
	return h, nil
}

// Head reads the head; the zero Head when nothing was ever applied. mod is for
// a transaction on it.
func (b *Book) Head(ctx context.Context) (h Head, mod int64, err error) {
	v, ok, err := b.store.Get(ctx, HeadKey)
	if err != nil || !ok {
		return Head{}, 0, err
	}
	h, err = ReadHead(v.Data)
	return h, v.ModRevision, err
}

// Apply makes a bundle the next revision, after base, for all nodes or for the
// those that are first. seen is the newest head that the caller knows of, so that
// numbers rise over a restored etcd too.
func (b *Book) Apply(ctx context.Context, bundle Bundle, o Order, base int64, first First, seen Head) (Head, error) {
	h, mod, err := b.at(ctx, base)
	if err != nil {
		return Head{}, err
	}
	if h.Canary != nil {
		return Head{}, fmt.Errorf("%w: revision %d is a canary on %v: promote it or roll it back first", ErrConflict, h.Canary.Number, h.Canary.First)
	}
	if err := first.Validate(); err != nil {
		return Head{}, err
	}
	packed, err := bundle.Pack()
	if err != nil {
		return Head{}, err
	}
	r := Revision{Order: o, Base: h.Newest, Sum: bundle.Sum(), Files: len(bundle)}
	for _, f := range bundle {
		r.Bytes += len(f.Data)
	}
	at, err := b.put(ctx, r.Sum, packed)
	if err != nil {
		return Head{}, err
	}
	e := Event{Kind: KindApply, Text: fmt.Sprintf("%d files, %d bytes, after revision %d", r.Files, r.Bytes, r.Base)}
	return b.next(ctx, h, mod, seen, r, first, map[string]int64{contentKey(r.Sum): at}, e)
}

// Rollback makes the content of an earlier revision the next one, for all nodes.
// A canary ends with it.
func (b *Book) Rollback(ctx context.Context, to int64, o Order, base int64, seen Head) (Head, error) {
	h, mod, err := b.at(ctx, base)
	if err != nil {
		return Head{}, err
	}
	r, err := b.Revision(ctx, to)
	if err != nil {
		return Head{}, err
	}
	v, ok, err := b.store.Get(ctx, contentKey(r.Sum))
	if err != nil {
		return Head{}, err
	}
	if !ok {
		return Head{}, fmt.Errorf("%w: the content of revision %d is gone", ErrNotFound, to)
	}
	h.Canary = nil
	r = Revision{Order: o, From: to, Base: h.Newest, Sum: r.Sum, Files: r.Files, Bytes: r.Bytes}
	e := Event{Kind: KindRollback, Text: fmt.Sprintf("back to what revision %d was", to)}
	return b.next(ctx, h, mod, seen, r, First{}, map[string]int64{contentKey(r.Sum): v.ModRevision}, e)
}

// Promote makes the canary that of all nodes; Drop takes it back.
func (b *Book) Promote(ctx context.Context, o Order, base int64, seen Head) (Head, error) {
	return b.settle(ctx, o, base, seen, true)
}

// Drop takes a canary back: see Promote.
func (b *Book) Drop(ctx context.Context, o Order, base int64, seen Head) (Head, error) {
	return b.settle(ctx, o, base, seen, false)
}

func (b *Book) settle(ctx context.Context, o Order, base int64, seen Head, promote bool) (Head, error) {
	h, mod, err := b.at(ctx, base)
	if err != nil {
		return Head{}, err
	}
	if h.Canary == nil {
		return Head{}, fmt.Errorf("%w: there is no canary", ErrNotFound)
	}
	c := *h.Canary
	e := Event{Kind: KindRollback, Revision: c.Number, Text: fmt.Sprintf("the canary on %v was taken back; all serve revision %d", c.First, h.Stable.Number)}
	if promote {
		h.Stable = c.Revision
		e = Event{Kind: KindPromote, Revision: c.Number, Text: "the canary is served by all nodes, to all"}
	}
	h.Canary = nil
	return b.write(ctx, h, mod, seen, o, e, store.Commit{})
}

// at reads the head and sees that its newest revision is base; a negative base
// takes any.
func (b *Book) at(ctx context.Context, base int64) (Head, int64, error) {
	h, mod, err := b.Head(ctx)
	if err == nil && base >= 0 && h.Newest != base {
		newest := h.Stable
		if h.Canary != nil {
			newest = h.Canary.Revision
		}
		err = fmt.Errorf("%w: it is at revision %d (by %s at %s: %s), the order was made for revision %d; see what changed with gslb diff %d %d, then order again",
			ErrConflict, h.Newest, newest.Who, newest.When.Format(time.RFC3339), newest.Why, base, base, h.Newest)
	}
	return h, mod, err
}

// next gives a revision its number and makes it the stable one, or the canary.
func (b *Book) next(ctx context.Context, h Head, mod int64, seen Head, r Revision, first First, at map[string]int64, e Event) (Head, error) {
	if err := r.Order.Validate(); err != nil {
		return Head{}, err
	}
	r.Number, r.When = max(h.Newest, seen.Newest)+1, b.now().UTC()
	h.Newest, e.Revision = r.Number, r.Number
	if !first.All() {
		slices.Sort(first.Nodes)
		first.Nodes = slices.Compact(first.Nodes)
		h.Canary = &Canary{r, first}
		e.Kind, e.Text = KindCanary, fmt.Sprintf("for %v first: %s", first, e.Text)
	} else {
		h.Stable = r
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return Head{}, err
	}
	return b.write(ctx, h, mod, seen, r.Order, e, store.Commit{At: at, Put: map[string][]byte{revisionKey(r.Number): raw}})
}

// write commits a head with what belongs to it and the event that tells of it.
func (b *Book) write(ctx context.Context, h Head, mod int64, seen Head, o Order, e Event, c store.Commit) (Head, error) {
	if err := o.Validate(); err != nil {
		return Head{}, err
	}
	h.Serial = max(h.Serial, seen.Serial) + 1
	raw, err := json.Marshal(h)
	if err != nil {
		return Head{}, err
	}
	if c.At == nil {
		c.At = map[string]int64{}
	}
	if c.Put == nil {
		c.Put = map[string][]byte{}
	}
	e.At, e.Who, e.Why = b.now(), o.Who, o.Why
	key, value := e.Entry()
	c.At[HeadKey], c.Put[HeadKey], c.Put[key] = mod, raw, value
	if _, err := b.store.Commit(ctx, c); err != nil {
		if errors.Is(err, store.ErrConflict) {
			return Head{}, fmt.Errorf("%w: somebody else's order came at the same moment; look at gslb history and order again", ErrConflict)
		}
		return Head{}, err
	}
	return h, nil
}

// put writes content, part by part, unless it is there. It returns the revision
// of the key that stands for all of it.
func (b *Book) put(ctx context.Context, sum string, packed []byte) (int64, error) {
	parts := slices.Collect(slices.Chunk(packed, partSize))
	// Written first and again last: what lies in between is not tidied away.
	mark, err := json.Marshal(stored{Bytes: len(packed), Parts: len(parts), Since: b.now().UTC()})
	if err != nil {
		return 0, err
	}
	if _, err := b.store.Put(ctx, contentKey(sum), mark); err != nil {
		return 0, err
	}
	for i, p := range parts {
		if _, err := b.store.Put(ctx, partKey(sum, i), p); err != nil {
			return 0, err
		}
	}
	return b.store.Put(ctx, contentKey(sum), mark)
}

// Content reads the files of a revision.
func (b *Book) Content(ctx context.Context, r Revision) (Bundle, error) {
	v, ok, err := b.store.Get(ctx, contentKey(r.Sum))
	if err != nil {
		return nil, err
	}
	var s stored
	if !ok || json.Unmarshal(v.Data, &s) != nil || s.Parts < 0 || s.Parts > MaxPacked/partSize+1 {
		return nil, fmt.Errorf("%w: the content of revision %d is not there", ErrNotFound, r.Number)
	}
	var packed []byte
	for i := range s.Parts {
		v, ok, err := b.store.Get(ctx, partKey(r.Sum, i))
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("%w: part %d of the content of revision %d is not there", ErrNotFound, i+1, r.Number)
		}
		packed = append(packed, v.Data...)
	}
	return open(packed, r)
}

// open unpacks content and sees that it is that of the revision.
func open(packed []byte, r Revision) (Bundle, error) {
	bundle, err := Unpack(packed)
	if err != nil {
		return nil, fmt.Errorf("revision %d: %w", r.Number, err)
	}
	if sum := bundle.Sum(); sum != r.Sum {
		return nil, fmt.Errorf("revision %d: its content has the checksum %.16s…, the revision says %.16s…: it was damaged", r.Number, sum, r.Sum)
	}
	return bundle, nil
}

// Revision reads one.
func (b *Book) Revision(ctx context.Context, n int64) (Revision, error) {
	v, ok, err := b.store.Get(ctx, revisionKey(n))
	if err != nil {
		return Revision{}, err
	}
	var r Revision
	if !ok {
		return r, fmt.Errorf("%w: %d is not there (gslb history lists them)", ErrNotFound, n)
	}
	if err := json.Unmarshal(v.Data, &r); err != nil {
		return r, fmt.Errorf("revision %d cannot be read: %w", n, err)
	}
	return r, nil
}

// List gives the newest revisions, the newest first; limit 0: all.
func (b *Book) List(ctx context.Context, limit int) ([]Revision, error) {
	all, err := b.store.List(ctx, revisionRoot, store.Range{Limit: limit, Descending: true})
	if err != nil {
		return nil, err
	}
	var out []Revision
	for _, kv := range all {
		var r Revision
		if err := json.Unmarshal(kv.Data, &r); err == nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// Tidy removes the oldest revisions beyond the number that is kept, and content
// that none names. Those in use stay.
func (b *Book) Tidy(ctx context.Context, cfg Config) error {
	cfg = cfg.WithDefaults()
	h, mod, err := b.Head(ctx)
	if err != nil || mod == 0 {
		return err
	}
	all, err := b.List(ctx, 0)
	if err != nil {
		return err
	}
	contents, err := b.contents(ctx)
	if err != nil {
		return err
	}
	used, sum, count := map[string]bool{}, 0, 0
	var gone []string
	for _, r := range all {
		inUse := r.Number == h.Stable.Number || h.Canary != nil && r.Number == h.Canary.Number
		if !used[r.Sum] {
			sum += contents[r.Sum].Bytes
		}
		if count++; inUse || count <= cfg.Revisions && sum <= maxContent {
			used[r.Sum] = true
			continue
		}
		gone = append(gone, revisionKey(r.Number))
	}
	for chunk := range slices.Chunk(gone, batch) {
		if _, err := b.store.Commit(ctx, store.Commit{At: map[string]int64{HeadKey: mod}, Delete: chunk}); err != nil {
			return err
		}
	}
	for sum, s := range contents {
		if used[sum] || b.now().Sub(s.Since) < freshContent {
			continue
		}
		c := store.Commit{At: map[string]int64{contentKey(sum): s.mod, HeadKey: mod}, Delete: []string{contentKey(sum)}}
		for i := range min(s.Parts, batch) {
			c.Delete = append(c.Delete, partKey(sum, i))
		}
		if _, err := b.store.Commit(ctx, c); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}

type content struct {
	stored
	mod int64
}

// contents lists the contents that are there, without their parts.
func (b *Book) contents(ctx context.Context) (map[string]content, error) {
	keys, err := b.store.List(ctx, contentRoot, store.Range{KeysOnly: true})
	if err != nil {
		return nil, err
	}
	out := map[string]content{}
	for _, kv := range keys {
		sum := strings.TrimPrefix(kv.Key, contentRoot)
		if strings.Contains(sum, "/") {
			continue
		}
		v, ok, err := b.store.Get(ctx, kv.Key)
		if err != nil {
			return nil, err
		}
		c := content{mod: v.ModRevision}
		if ok && json.Unmarshal(v.Data, &c.stored) == nil {
			out[sum] = c
		}
	}
	return out, nil
}

// Number reads a revision's number as people write it: "7" or "r7".
func Number(s string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimPrefix(s, "r"), 10, 64)
	return n, err == nil && n > 0
}
