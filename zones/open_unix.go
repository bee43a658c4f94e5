//go:build unix

package zones

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// open is os.Open without what that does to find out whether a file can be
// waited for, which takes as long as all the rest for a small zone.
func open(path string) (*os.File, error) {
	for {
		fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), path), nil
		case !errors.Is(err, syscall.EINTR):
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
}
