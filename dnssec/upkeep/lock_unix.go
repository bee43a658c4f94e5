//go:build unix

package upkeep

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockName is the file that whoever changes keys holds a lock on. It is no key's name.
const lockName = ".lock"

// lock waits until no one else changes keys in the folder, which is made if it
// is not there.
func lock(folder string) (unlock func(), err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(folder, lockName), os.O_RDWR|os.O_CREATE, 0o600)
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
