package history

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The most that a topology may have. Large zones come by transfer, or stay files
// of the nodes.
const (
	MaxBytes  = 32 << 20 // of all files
	MaxPacked = 4 << 20  // of the packed form, in etcd
	MaxFiles  = 10_000
)

// File is a file of a topology.
type File struct {
	Name string // relative to the topology's folder, with slashes
	Data []byte
}

// Bundle is a topology with the files that travel with it. The first is the
// topology's own, the others are sorted by name.
type Bundle []File

// ReadBundle reads files that lie in root or below, absolute names, the
// topology's own first.
func ReadBundle(root string, names []string) (Bundle, error) {
	var b Bundle
	size := 0
	if len(names) > MaxFiles {
		return nil, fmt.Errorf("a topology with %d files: must have at most %d", len(names), MaxFiles)
	}
	for _, name := range names {
		rel, err := filepath.Rel(root, name)
		if err != nil || !filepath.IsLocal(rel) {
			return nil, fmt.Errorf("%s: lies outside of the topology's folder %s, so that it cannot travel with it", name, root)
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if size += int(min(info.Size(), MaxBytes+1)); size > MaxBytes {
			return nil, fmt.Errorf("%s: with it the topology has more than %d MiB: give large zones with an absolute name that each node has, or let them come by transfer (primaries)", name, MaxBytes>>20)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		b = append(b, File{filepath.ToSlash(rel), data})
	}
	return b, b.check()
}

// check sees that the names are good: local, each once, in order.
func (b Bundle) check() error {
	if len(b) == 0 {
		return errors.New("a topology without a file")
	}
	if len(b) > MaxFiles {
		return fmt.Errorf("a topology with %d files: must have at most %d", len(b), MaxFiles)
	}
	size := 0
	for i, f := range b {
		if !filepath.IsLocal(filepath.FromSlash(f.Name)) || path.Clean(f.Name) != f.Name || strings.Contains(f.Name, `\`) {
			return fmt.Errorf("a file named %q: must be relative, within the topology's folder", f.Name)
		}
		if i > 1 && b[i-1].Name >= f.Name || i > 0 && f.Name == b[0].Name {
			return fmt.Errorf("file %q: must be there once, in the order of names", f.Name)
		}
		size += len(f.Data)
	}
	if size > MaxBytes {
		return fmt.Errorf("a topology of %d bytes: must have at most %d", size, MaxBytes)
	}
	return nil
}

// Sum tells one topology from another: it is of all names and contents.
func (b Bundle) Sum() string {
	h := sha256.New()
	for _, f := range b {
		fmt.Fprintf(h, "%d %s %d\n", len(f.Name), f.Name, len(f.Data))
		h.Write(f.Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Pack writes the bundle as a compressed tar archive.
func (b Bundle) Pack() ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	t := tar.NewWriter(z)
	var errs []error
	for _, f := range b {
		err := t.WriteHeader(&tar.Header{Name: f.Name, Mode: 0o644, Size: int64(len(f.Data)), Format: tar.FormatPAX})
		_, err2 := t.Write(f.Data)
		errs = append(errs, err, err2)
	}
	if err := errors.Join(append(errs, t.Close(), z.Close())...); err != nil {
		return nil, err
	}
	if out.Len() > MaxPacked {
		return nil, fmt.Errorf("the topology has %d bytes when compressed, must have at most %d: give large zones with an absolute name that each node has, or let them come by transfer (primaries)", out.Len(), MaxPacked)
	}
	return out.Bytes(), nil
}

// Unpack reads what Pack wrote, which may be anything.
func Unpack(packed []byte) (Bundle, error) {
	if len(packed) > MaxPacked {
		return nil, fmt.Errorf("a packed topology of %d bytes: must have at most %d", len(packed), MaxPacked)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("not a packed topology: %w", err)
	}
	// Headers take up to some hundred bytes for each file.
	t := tar.NewReader(io.LimitReader(z, MaxBytes+MaxFiles*4096))
	var b Bundle
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return b, b.check()
		}
		if err != nil {
			return nil, fmt.Errorf("not a packed topology: %w", err)
		}
		if h.Typeflag != tar.TypeReg || len(b) >= MaxFiles || h.Size > MaxBytes {
			return nil, fmt.Errorf("packed topology: %q is not a plain file, or too much", h.Name)
		}
		data, err := io.ReadAll(t)
		if err != nil {
			return nil, fmt.Errorf("packed topology: %q: %w", h.Name, err)
		}
		b = append(b, File{h.Name, data})
	}
}

// WriteTo writes the files into a folder, which is made, and gives the name of
// the topology's own.
func (b Bundle) WriteTo(dir string) (string, error) {
	if err := b.check(); err != nil {
		return "", err
	}
	for _, f := range b {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(name, f.Data, 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, filepath.FromSlash(b[0].Name)), nil
}

// File gives the content of a file; nil: there is none of that name.
func (b Bundle) File(name string) []byte {
	if i := slices.IndexFunc(b, func(f File) bool { return f.Name == name }); i >= 0 {
		return b[i].Data
	}
	return nil
}
