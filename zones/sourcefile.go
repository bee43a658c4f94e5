package zones

import (
	"io/fs"
	"slices"

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

// Reading tells which versions of which files a zone was read from. A zone that was
// made of another by signing or by updates has that one's.
type Reading []sourceFile

// Reading is the zone's; nil: it was not read from files.
func (z *Zone) Reading() Reading { return z.files }

// Same tells whether both are of the same versions of the same files.
func (r Reading) Same(o Reading) bool { return len(r) > 0 && slices.Equal(r, o) }
