//go:build unix

package dnssec

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What root does with the keys of a node that runs as another user leaves them to that
// user.
func TestKeysStayTheNodesUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root alone can give files away")
	}
	const user = 65534
	dir := filepath.Join(t.TempDir(), "state")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, user, user)); err != nil {
		t.Fatal(err)
	}
	folder, zone := Folder(filepath.Join(dir, "more", "keys")), mustName(t, "example.com.")
	owners := func() {
		t.Helper()
		n := 0
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			info, err2 := os.Stat(path)
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			if s := info.Sys().(*syscall.Stat_t); s.Uid != user || s.Gid != user {
				t.Errorf("%s belongs to %d:%d", path, s.Uid, s.Gid)
			}
			n++
			return nil
		})
		if err != nil || n != 6 {
			t.Errorf("%d files and folders, %v", n, err)
		}
	}
	k, err := folder.Generate(zone, ED25519, 0, CSK, Timing{Created: testTime})
	if err != nil {
		t.Fatal(err)
	}
	owners()
	if err := folder.Save(k.WithTiming(Timing{Created: testTime, Publish: testTime})); err != nil {
		t.Fatal(err)
	}
	owners()
	// A file keeps its owner, whoever has the folder.
	if err := os.Chown(string(folder), 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := folder.Save(k); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(string(folder), k.BaseName()+".private")); err != nil || info.Sys().(*syscall.Stat_t).Uid != user || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
