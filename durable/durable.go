// Package durable writes files so that a crash, of this process or of the
// machine, leaves the file of before or the new one, whole. It knows nothing of
// what stands in them.
package durable

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// suffix ends the names of files that are being written. One is left behind by a
// crash at most, and written over by the next Write.
const suffix = ".new"

// Write puts a file of a mode in the place of path, which may exist: it is
// written beside it, synced, and renamed, and the folder is synced, so that it is
// there after a crash once Write has returned. Two at a time for one path are the
// caller's fault. The error names the file.
func Write(path string, mode fs.FileMode, write func(io.Writer) error) error {
	f, err := Create(path, mode)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = Commit(f, path)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name()) // of no use, or renamed already
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// WriteFile is Write for data that are at hand.
func WriteFile(path string, mode fs.FileMode, data []byte) error {
	return Write(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteFileFor is WriteFile for a folder that a program of another user works on, too:
// what root writes there belongs to whom the file did, or else to the folder's owner.
func WriteFileFor(path string, mode fs.FileMode, data []byte) error {
	uid, gid, ok := Owner(path)
	return Write(path, mode, func(w io.Writer) error {
		if ok {
			if err := Give(path+suffix, uid, gid); err != nil {
				return err
			}
		}
		_, err := w.Write(data)
		return err
	})
}

// MakeFolderFor makes a folder, and those above it that are not there. What root makes
// belongs to the owner of the folder that was there.
func MakeFolderFor(path string, mode fs.FileMode) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	above := filepath.Dir(path)
	if above != path {
		if err := MakeFolderFor(above, mode); err != nil {
			return err
		}
	}
	uid, gid, ok := Owner(path)
	if err := os.Mkdir(path, mode); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	if ok {
		return Give(path, uid, gid)
	}
	return nil
}

// Give has a path belong to somebody (see Owner), where root may give files away; where it
// may not, as in a container that lacks the capability, it stays its own.
func Give(path string, uid, gid int) error {
	if err := os.Lchown(path, uid, gid); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// Create opens the file that is to take the place of path once it is written; see
// Commit. Write does both.
func Create(path string, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path+suffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, mode)
	if err == nil {
		// A file that was left behind, and the umask, may have said otherwise.
		if err = f.Chmod(mode); err != nil {
			f.Close()
		}
	}
	return f, err
}

// Commit puts a file of Create in its place. It stays open, and can be written on.
func Commit(f *os.File, path string) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

// SyncFolder makes what happened to a folder's names last.
func SyncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
