package zones

import "io/fs"

// stamp tells one version of a file that a zone was read from, the master file
// or one that it includes, from the next.
type stamp struct {
	path  string // as it was opened
	size  int64
	mtime int64  // nanoseconds since 1970
	inode uint64 // 0 where the system has none
}

func stampOf(path string, info fs.FileInfo) stamp {
	return stamp{path: path, size: info.Size(), mtime: info.ModTime().UnixNano(), inode: inode(info)}
}
