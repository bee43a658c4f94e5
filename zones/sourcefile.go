package zones

import (
	"io/fs"

	"gslb/stamp"
)

// sourceFile is a file that a zone was read from, the master file or one that it
// includes, in the version that was read.
type sourceFile struct {
	path string // as it was opened
	stamp.Stamp
}

func sourceFileOf(path string, info fs.FileInfo) sourceFile {
	return sourceFile{path, stamp.Of(info)}
}
