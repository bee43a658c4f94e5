package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"gslb/durable"
)

// maxCopy bounds what is read from disk: etcd's whole quota.
const maxCopy = quotaBytes

const (
	copyRest = 20               // how many times as long as a copy took, the next one waits
	copyLate = 30 * time.Second // and at most so long
)

var copyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// copies keeps the last-known-good copy of one watch on disk. A copy replaces
// the one before whole or not at all, and carries a checksum, so that what is
// read is what was written.
type copies struct {
	path   string
	prefix string // the whole one, of the keys in etcd

	mu   sync.Mutex
	next *snapshot // guarded by mu; to be written, or nil
	wake chan struct{}
}

// copyFile is the file's form. The sum covers the bytes of View.
type copyFile struct {
	Format int             `json:"format"` // 1
	SHA256 string          `json:"sha256"`
	View   json.RawMessage `json:"view"`
}

type copyView struct {
	Prefix   string            `json:"prefix"`
	Cluster  string            `json:"cluster"`
	Revision int64             `json:"revision"`
	KV       map[string][]byte `json:"kv"` // base64
	Mod      map[string]int64  `json:"mod"`
}

func newCopies(dir, name, prefix string) (*copies, error) {
	if !copyName.MatchString(name) {
		return nil, fmt.Errorf("name %q: must be letters, digits, dot, dash and underscore", name)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory of last-known-good copies: %w", err)
	}
	return &copies{path: filepath.Join(dir, name+".json"), prefix: prefix, wake: make(chan struct{}, 1)}, nil
}

// save hands a snapshot over for writing. It does not wait for the disk: a
// change must reach the answers first.
func (c *copies) save(s snapshot) {
	c.mu.Lock()
	c.next = &s
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run writes what was saved, at most once in every, until ctx ends; what is
// still waiting then is written first. A copy that takes long, of a large fleet, is written
// less often: it shall not cost more than a twentieth of the time. A fault is logged once.
func (c *copies) run(ctx context.Context, every time.Duration, log *slog.Logger) {
	faulty, took := false, time.Duration(0)
	flush := func() {
		c.mu.Lock()
		next := c.next
		c.next = nil
		c.mu.Unlock()
		if next == nil {
			return
		}
		began := time.Now()
		err := c.write(*next)
		took = time.Since(began)
		if err != nil && !faulty {
			log.Error("last-known-good copy not written: a restart without etcd would know less", "error", err)
		}
		faulty = err != nil
	}
	for {
		select {
		case <-c.wake:
			flush()
			sleep(ctx, max(every, min(copyRest*took, copyLate)))
		case <-ctx.Done():
			flush()
			return
		}
	}
}

// write replaces the file.
func (c *copies) write(s snapshot) error {
	data, err := encodeCopy(s, c.prefix)
	if err != nil {
		return err
	}
	return durable.WriteFile(c.path, 0o600, data)
}

// load reads the copy. None is no error: the zero snapshot.
func (c *copies) load() (snapshot, error) {
	fi, err := os.Stat(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return snapshot{}, nil
	}
	if err != nil {
		return snapshot{}, err
	}
	if fi.Size() > maxCopy {
		return snapshot{}, fmt.Errorf("%s: has %d bytes, must be at most %d", c.path, fi.Size(), maxCopy)
	}
	data, err := os.ReadFile(c.path)
	if err != nil {
		return snapshot{}, err
	}
	s, err := decodeCopy(data, c.prefix)
	if err != nil {
		return snapshot{}, fmt.Errorf("%s: %w", c.path, err)
	}
	return s, nil
}

func encodeCopy(s snapshot, prefix string) ([]byte, error) {
	view, err := json.Marshal(copyView{Prefix: prefix, Cluster: hexID(s.cluster), Revision: s.Revision, KV: s.KV, Mod: s.Mod})
	if err != nil {
		return nil, err
	}
	// By hand what json.Marshal would make of a copyFile, since it would read all of view once more.
	sum := sha256.Sum256(view)
	file := append(make([]byte, 0, len(view)+128), `{"format":1,"sha256":"`...)
	file = append(hex.AppendEncode(file, sum[:]), `","view":`...)
	return append(append(file, view...), '}'), nil
}

// decodeCopy checks and reads a file's bytes, which may be anything.
func decodeCopy(data []byte, prefix string) (snapshot, error) {
	var file copyFile
	if err := json.Unmarshal(data, &file); err != nil {
		return snapshot{}, fmt.Errorf("is not a copy: %w", err)
	}
	if file.Format != 1 {
		return snapshot{}, fmt.Errorf("has format %d, must be 1", file.Format)
	}
	sum := sha256.Sum256(file.View)
	want, err := hex.DecodeString(file.SHA256)
	if err != nil || !bytes.Equal(sum[:], want) {
		return snapshot{}, fmt.Errorf("checksum is %x, the file says %q: the file was damaged", sum, file.SHA256)
	}
	var v copyView
	if err := json.Unmarshal(file.View, &v); err != nil {
		return snapshot{}, fmt.Errorf("view: %w", err)
	}
	cluster, err := strconv.ParseUint(v.Cluster, 16, 64)
	switch {
	case err != nil || cluster == 0:
		return snapshot{}, fmt.Errorf("cluster %q: must be a hexadecimal number", v.Cluster)
	case v.Prefix != prefix:
		return snapshot{}, fmt.Errorf("is of prefix %q, must be of %q", v.Prefix, prefix)
	case v.Revision < 0:
		return snapshot{}, fmt.Errorf("revision %d: must not be negative", v.Revision)
	}
	if v.KV == nil {
		v.KV = map[string][]byte{}
	}
	if v.Mod == nil {
		v.Mod = map[string]int64{}
	}
	return snapshot{cluster: cluster, View: View{Revision: v.Revision, KV: v.KV, Mod: v.Mod}}, nil
}
