package geo

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Source describes a database that was opened.
type Source struct {
	Path     string    `json:"path"`
	Type     string    `json:"type"`           // as its metadata state, e.g. "GeoLite2-City"
	Built    time.Time `json:"built,omitzero"` // by its publisher; zero if the metadata state no sensible time
	Size     int64     `json:"size"`           // of the file, in bytes
	Networks int       `json:"networks"`       // that carry a record
	Places   int       `json:"places"`         // distinct ones among the records
}

// source is a database read into memory: networks to numbers of places, 0 for none.
// Nothing of the file is kept.
type source struct {
	Source
	both
	places []Place
	stamp  stamp
}

// maxFileSize bounds what is read into memory; the largest databases sold are
// below 2 GiB.
const maxFileSize = 4 << 30

// openSource reads and checks a database. Its errors don't name the path.
func openSource(path string) (*source, error) {
	data, st, err := readWhole(path)
	if err != nil {
		return nil, err
	}
	s, err := newSource(data)
	if err != nil {
		return nil, err
	}
	s.Path, s.stamp = path, st
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
	if err := checkStructure(data, reader.Metadata); err != nil {
		return nil, err
	}
	s = &source{Source: Source{
		Type:  reader.Metadata.DatabaseType,
		Built: builtTime(reader.Metadata),
		Size:  int64(len(data)),
	}}
	if err := s.load(reader); err != nil {
		return nil, err
	}
	return s, nil
}

// readWhole reads a file into memory: with a memory map, a file that is
// truncated in place would kill the process when it is next looked at.
func readWhole(path string) ([]byte, stamp, error) {
	if _, err := stampOf(path); err != nil { // before os.Open, which a FIFO would block
		return nil, stamp{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, stamp{}, bare(err)
	}
	defer f.Close()
	before, err := stampOfFile(f)
	if err != nil {
		return nil, stamp{}, err
	}
	switch {
	case before.size == 0:
		return nil, stamp{}, errors.New("file is empty: must be a MaxMind DB file")
	case before.size > maxFileSize:
		return nil, stamp{}, fmt.Errorf("%d bytes: must be at most %d", before.size, int64(maxFileSize))
	}
	data := make([]byte, before.size)
	if _, err := io.ReadFull(f, data); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, stamp{}, fmt.Errorf("read: %w", bare(err))
	}
	if after, err := stampOfFile(f); err != nil || after != before {
		return nil, stamp{}, errors.New("changed while it was read")
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

// load walks the networks and decodes each distinct record once.
func (s *source) load(reader *maxminddb.Reader) error {
	l := loader{
		source:  s,
		schema:  schemaOf(reader),
		v4:      filler{into: &s.v4},
		v6:      filler{into: &s.v6},
		numbers: map[Place]uint32{{}: 0},
		records: map[uintptr]uint32{},
	}
	s.places = []Place{{}}
	for result := range reader.Networks() {
		if err := l.add(result); err != nil {
			return err
		}
	}
	l.v4.finish()
	l.v6.finish()
	s.Places = len(s.places) - 1
	if s.Networks == 0 {
		return fmt.Errorf("database type %q has no record at all", s.Type)
	}
	if s.Places == 0 {
		return fmt.Errorf("database type %q has no country, city, location, ASN or ISP in any of its %d records: "+
			"must be a City, Country, Enterprise, ISP or ASN database", s.Type, len(l.records))
	}
	return nil
}

type loader struct {
	*source
	schema  schema
	v4, v6  filler
	numbers map[Place]uint32
	records map[uintptr]uint32 // offset of a record to the number of its place
}

func (l *loader) add(result maxminddb.Result) error {
	network := result.Prefix()
	if err := result.Err(); err != nil {
		return fmt.Errorf("network %s: %w", network, err)
	}
	number, ok := l.records[result.Offset()]
	if !ok {
		var err error
		if number, err = l.decode(result); err != nil {
			return fmt.Errorf("record of network %s: %w", network, err)
		}
		l.records[result.Offset()] = number
	}
	l.Networks++
	l.fill(network, number)
	return nil
}

func (l *loader) decode(result maxminddb.Result) (uint32, error) {
	p, err := l.schema.decode(result)
	if err != nil {
		return 0, err
	}
	number, ok := l.numbers[p]
	if !ok {
		number = uint32(len(l.places))
		l.numbers[p] = number
		l.places = append(l.places, p)
	}
	return number, nil
}

// fill enters a network of the walk, which comes in address order and leaves
// out the networks without a record and the aliases of the IPv4 addresses.
func (l *loader) fill(network netip.Prefix, number uint32) {
	r := run{keyOf(network.Addr()), leaf{value: number, bits: uint8(network.Bits())}}
	if network.Addr().Is4() {
		l.v4.before(r.start, leaf{})
		l.v4.push(r)
		return
	}
	l.v6.before(r.start, leaf{})
	l.v6.push(r)
	if r.start == (key{}) && r.bits < 96 { // holds all of ::/96, where IPv4 is kept
		l.v4.push(run{leaf: leaf{value: number}})
	}
}
