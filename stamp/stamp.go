// Package stamp tells one version of a file from the next without reading it,
// so that a reload leaves alone what is still the same. It judges nothing: what
// kind of file will do is for those to say who read it.
package stamp

import "io/fs"

// Stamp is what tells one version of a file from the next.
type Stamp struct {
	Size  int64
	Mtime int64  // nanoseconds since 1970
	Inode uint64 // 0 where the system has none
}

// Of is the stamp of a file as it was when info was taken.
func Of(info fs.FileInfo) Stamp {
	return Stamp{Size: info.Size(), Mtime: info.ModTime().UnixNano(), Inode: inode(info)}
}
