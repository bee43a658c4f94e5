//go:build unix

package upkeep

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"gslb/durable"
)

// lockName is the file that whoever changes keys holds a lock on. It is no key's name.
const lockName = ".lock"

// lock waits until no one else changes keys in the folder, which is made if it
// is not there.
func lock(folder string) (unlock func(), err error) {
	if err := durable.MakeFolderFor(folder, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(folder, lockName)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		uid, gid, ok := durable.Owner(path)
		if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err == nil && ok {
			if err := durable.Give(path, uid, gid); err != nil {
				f.Close()
				return nil, err
			}
		}
	}
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: cannot be locked: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil // which gives the lock back
}
