package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gslb/durable"
)

// Disk is a node's own copy of the topology that it serves, for a start without
// etcd, and of the newest head that it has seen. The files of the revision in use
// lie beside it, in a folder of their own for each content.
type Disk struct{ dir string }

// OpenDisk makes the folder and removes what a crash left there.
func OpenDisk(dir string) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the topology: %w", err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*.tmp-*"))
	for _, name := range left {
		os.RemoveAll(name)
	}
	return &Disk{dir}, nil
}

// DiskAt is the folder as it is, for who only reads it: a node may be running there.
func DiskAt(dir string) *Disk { return &Disk{dir} }

// Saved is what a node served last.
type Saved struct {
	Seen    Head     `json:"seen"`    // the newest head
	Serving Revision `json:"serving"` // Number 0: none
}

// Save writes what is served, whole or not at all.
func (d *Disk) Save(s Saved, bundle Bundle) error {
	head, err := json.Marshal(s)
	if err != nil {
		return err
	}
	var packed []byte
	if s.Serving.Number > 0 {
		if packed, err = bundle.Pack(); err != nil {
			return err
		}
	}
	return durable.WriteFile(d.path(), 0o600, bytes.Join([][]byte{head, packed}, []byte("\n")))
}

func (d *Disk) path() string { return filepath.Join(d.dir, "served") }

// Load reads what was saved; the zero Saved when nothing was. The bundle's
// checksum is that of the revision.
func (d *Disk) Load() (s Saved, b Bundle, err error) {
	data, err := os.ReadFile(d.path())
	if errors.Is(err, fs.ErrNotExist) {
		return Saved{}, nil, nil
	}
	if err != nil {
		return Saved{}, nil, err
	}
	head, packed, _ := bytes.Cut(data, []byte("\n"))
	if err := json.Unmarshal(head, &s); err != nil {
		return Saved{}, nil, fmt.Errorf("%s: damaged: %w", d.path(), err)
	}
	if s.Serving.Number == 0 {
		return s, nil, nil
	}
	if b, err = open(packed, s.Serving); err != nil {
		return Saved{Seen: s.Seen}, nil, fmt.Errorf("%s: %w", d.path(), err)
	}
	return s, b, nil
}

// Place writes the files of a revision into its folder, unless they are there,
// and gives the name of the topology's own file.
func (d *Disk) Place(r Revision, b Bundle) (string, error) {
	dir := d.Folder(r)
	if err := os.RemoveAll(dir); err != nil { // of a start before; it may be anything
		return "", err
	}
	temp, err := os.MkdirTemp(d.dir, "files.tmp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	if _, err := b.WriteTo(temp); err != nil {
		return "", err
	}
	if err := os.Rename(temp, dir); err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.FromSlash(b[0].Name)), nil
}

// Folder is where the files of a revision lie.
func (d *Disk) Folder(r Revision) string {
	return filepath.Join(d.dir, fmt.Sprintf("files-%d-%.12s", r.Number, r.Sum))
}

// Scratch makes a folder for files that are only looked at; done removes it.
func (d *Disk) Scratch() (dir string, done func(), err error) {
	dir, err = os.MkdirTemp(d.dir, "files.tmp-")
	return dir, func() { os.RemoveAll(dir) }, err
}

// Keep removes the files of all revisions but one.
func (d *Disk) Keep(r Revision) {
	all, _ := filepath.Glob(filepath.Join(d.dir, "files-*"))
	for _, name := range all {
		if name != d.Folder(r) && !strings.Contains(name, ".tmp-") {
			os.RemoveAll(name)
		}
	}
}
