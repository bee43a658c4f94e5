package geo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"gslb/stamp"
)

// stampOf follows links, since updaters like to replace a link. Its errors don't
// name the path.
func stampOf(path string) (stamp.Stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp.Stamp{}, bare(err)
	}
	return stampOfInfo(info)
}

func stampOfFile(f *os.File) (stamp.Stamp, error) {
	info, err := f.Stat()
	if err != nil {
		return stamp.Stamp{}, bare(err)
	}
	return stampOfInfo(info)
}

func stampOfInfo(info fs.FileInfo) (stamp.Stamp, error) {
	if !info.Mode().IsRegular() {
		return stamp.Stamp{}, fmt.Errorf("is a %s: must be a regular file", kind(info.Mode()))
	}
	return stamp.Of(info), nil
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
