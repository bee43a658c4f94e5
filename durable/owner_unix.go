//go:build unix

package durable

import (
	"os"
	"path/filepath"
	"syscall"
)

// Owner gives whom a path that root is about to write should belong to: whom it does or,
// where it is not there yet, whom its folder does. ok is false for others than root,
// whose files are their own.
func Owner(path string) (uid, gid int, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	for _, p := range []string{path, filepath.Dir(path)} {
		if info, err := os.Lstat(p); err == nil {
			if s, is := info.Sys().(*syscall.Stat_t); is {
				return int(s.Uid), int(s.Gid), true
			}
		}
	}
	return 0, 0, false
}
