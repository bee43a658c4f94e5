package geo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"gslb/parallel"
	"gslb/stamp"
)

// Source describes a database that was opened.
type Source struct {
	Path     string    `json:"path"`
	Type     string    `json:"type"`           // as its metadata state, e.g. "GeoLite2-City"
	Built    time.Time `json:"built,omitzero"` // by its publisher; zero if the metadata state no sensible time
	Size     int64     `json:"size"`           // of the file, in bytes
	Networks int       `json:"networks"`       // that carry a record
	Places   int       `json:"places"`         // distinct ones among the records
	// Bytes is the memory that it takes.
	Bytes int `json:"bytes"`
	// LoadTime is how long it took to read and check.
	LoadTime time.Duration `json:"load_time"`
}

// source is a database read into memory: networks to numbers of places, 0 for none.
// Nothing of the file is kept.
type source struct {
	Source
	both
	places *places
	stamp  stamp.Stamp
}

// maxFileSize bounds what is read into memory; the largest databases sold are
// below 2 GiB.
const maxFileSize = 4 << 30

// openSource reads and checks a database. Its errors don't name the path.
func openSource(path string) (*source, error) {
	begin := time.Now()
	data, st, err := readWhole(path)
	if err != nil {
		return nil, err
	}
	s, err := newSource(data)
	if err != nil {
		return nil, err
	}
	s.Path, s.stamp, s.LoadTime = path, st, time.Since(begin)
	return s, nil
}

func newSource(data []byte) (s *source, err error) {
	// The decoder is well tested on corrupt files; but a file that shows another
	// fault in it must not end a name server.
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("corrupt database: %v", r)
		}
	}()
	reader, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, err
	}
	tree, err := newSearchTree(data, reader.Metadata)
	if err != nil {
		return nil, err
	}
	s = &source{Source: Source{
		Type:  reader.Metadata.DatabaseType,
		Built: builtTime(reader.Metadata),
		Size:  int64(len(data)),
	}}
	if err := s.load(reader, tree); err != nil {
		return nil, err
	}
	s.Bytes = s.v4.bytes() + s.v6.bytes() + s.places.bytes()
	return s, nil
}

// readWhole reads a file into memory: with a memory map, a file that is
// truncated in place would kill the process when it is next looked at.
func readWhole(path string) ([]byte, stamp.Stamp, error) {
	if _, err := stampOf(path); err != nil { // before os.Open, which a FIFO would block
		return nil, stamp.Stamp{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, stamp.Stamp{}, bare(err)
	}
	defer f.Close()
	before, err := stampOfFile(f)
	if err != nil {
		return nil, stamp.Stamp{}, err
	}
	switch {
	case before.Size == 0:
		return nil, stamp.Stamp{}, errors.New("file is empty: must be a MaxMind DB file")
	case before.Size > maxFileSize:
		return nil, stamp.Stamp{}, fmt.Errorf("%d bytes: must be at most %d", before.Size, int64(maxFileSize))
	}
	data := make([]byte, before.Size)
	for rest := data; len(rest) > 0; parallel.Yield() {
		n, err := f.Read(rest[:min(pieceSize, len(rest))])
		if rest = rest[n:]; errors.Is(err, io.EOF) {
			break // which the stamp tells
		}
		if err != nil {
			return nil, stamp.Stamp{}, fmt.Errorf("read: %w", bare(err))
		}
	}
	if after, err := stampOfFile(f); err != nil || after != before {
		return nil, stamp.Stamp{}, errors.New("changed while it was read")
	}
	return data, before, nil
}

func builtTime(m maxminddb.Metadata) time.Time {
	const year10000 = 253402300800 // what time.Time can print and JSON can hold
	if m.BuildEpoch == 0 || m.BuildEpoch >= year10000 {
		return time.Time{}
	}
	return m.BuildTime().UTC()
}
