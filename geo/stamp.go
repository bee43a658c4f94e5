package geo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// stamp tells one version of a file from the next.
type stamp struct {
	size  int64
	mtime int64  // nanoseconds since 1970
	inode uint64 // 0 where the system has none
}

// stampOf follows links, since updaters like to replace a link. Its errors don't
// name the path.
func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, bare(err)
	}
	return stampOfInfo(info)
}

func stampOfFile(f *os.File) (stamp, error) {
	info, err := f.Stat()
	if err != nil {
		return stamp{}, bare(err)
	}
	return stampOfInfo(info)
}

func stampOfInfo(info fs.FileInfo) (stamp, error) {
	if !info.Mode().IsRegular() {
		return stamp{}, fmt.Errorf("is a %s: must be a regular file", kind(info.Mode()))
	}
	return stamp{size: info.Size(), mtime: info.ModTime().UnixNano(), inode: inode(info)}, nil
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// bare strips the path off an error of package os: the caller names it.
func bare(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
