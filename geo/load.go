package geo

import (
	"errors"
	"fmt"
	"sync"

	"github.com/oschwald/maxminddb-golang/v2"

	"gslb/parallel"
)

// load makes the partitions of a database's networks. It walks the search tree
// twice, IPv4 and IPv6 side by side: the first walk tells which records there are,
// each of which is decoded once; the second one writes the numbers of their places down.
func (s *source) load(reader *maxminddb.Reader, tree *searchTree) error {
	if tree.dataSize > maxData {
		return fmt.Errorf("data section of %d bytes: must be at most %d", tree.dataSize, uint64(maxData))
	}
	offsets, err := s.survey(tree)
	if err != nil {
		return err
	}
	list := offsets.members()
	l := loader{source: s, reader: reader, offsets: list, schema: schemaOf(reader, list), numbers: make([]uint32, len(list))}
	s.places = newPlaces()
	if err := l.decode(); err != nil {
		return l.located(err, tree)
	}
	s.places.seal()
	ranks := offsets.ranks()
	err = bothFamilies(func(v4 bool) error {
		f := filler{into: s.family(v4)}
		err := tree.walk(v4, func(start key, bits uint8, offset uint) {
			f.before(start, leaf{})
			f.push(run{start, leaf{value: l.numbers[offsets.rank(ranks, offset)], bits: bits}})
		})
		f.finish()
		return err
	})
	if err != nil {
		return err
	}
	s.Places = len(s.places.list) - 1
	if s.Networks == 0 {
		return fmt.Errorf("database type %q has no record at all", s.Type)
	}
	if s.Places == 0 {
		return fmt.Errorf("database type %q has no country, city, location, ASN or ISP in any of its %d records: "+
			"must be a City, Country, Enterprise, ISP or ASN database", s.Type, len(list))
	}
	return nil
}

// maxData is what an offset of 32 bits reaches; the largest record number has as many.
const maxData = 1 << 32

// survey counts the networks and returns the offsets of the records.
func (s *source) survey(tree *searchTree) (bitset, error) {
	var found [2]bitset
	var networks [2]int
	err := bothFamilies(func(v4 bool) error {
		set, n := newBitset(tree.dataSize), 0
		err := tree.walk(v4, func(_ key, _ uint8, offset uint) {
			set.set(offset)
			n++
		})
		i := index(v4)
		found[i], networks[i] = set, n
		return err
	})
	s.Networks = networks[0] + networks[1]
	for i, word := range found[1] {
		found[0][i] |= word
	}
	return found[0], err
}

// bothFamilies runs f for IPv4 and IPv6 side by side; of two errors the first counts.
func bothFamilies(f func(v4 bool) error) error {
	var errs [2]error
	parallel.Each(2, func(i int) { errs[i] = f(i == 0) })
	if errs[0] != nil {
		return errs[0]
	}
	return errs[1]
}

func index(v4 bool) int {
	if v4 {
		return 0
	}
	return 1
}

type loader struct {
	*source
	reader  *maxminddb.Reader
	schema  schema
	offsets []uint32 // of the records in the data section
	numbers []uint32 // of their places
	mu      sync.Mutex
}

// recordsAtOnce are decoded before their places are entered under the lock.
const recordsAtOnce = 128

// recordError is a fault of the record at an offset.
type recordError struct {
	offset uint32
	err    error
}

func (e *recordError) Error() string { return e.err.Error() }
func (e *recordError) Unwrap() error { return e.err }

// decode enters the places of all records. Of several faults it returns the first one.
func (l *loader) decode() error {
	batches := (len(l.offsets) + recordsAtOnce - 1) / recordsAtOnce
	errs := make([]error, batches)
	parallel.Each(batches, func(i int) {
		from, to := i*recordsAtOnce, min((i+1)*recordsAtOnce, len(l.offsets))
		errs[i] = l.decodeBatch(l.offsets[from:to], l.numbers[from:to])
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) decodeBatch(offsets, numbers []uint32) error {
	batch := make([]Place, len(offsets))
	for i, offset := range offsets {
		p, err := l.schema.decode(l.reader.LookupOffset(uintptr(offset)))
		if err != nil {
			return &recordError{offset, err}
		}
		batch[i] = p
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, p := range batch {
		numbers[i] = l.places.add(p)
	}
	return nil
}

// located says which network a record's fault is met at first.
func (l *loader) located(err error, tree *searchTree) error {
	var fault *recordError
	if !errors.As(err, &fault) {
		return err
	}
	for _, v4 := range [...]bool{true, false} {
		at := ""
		_ = tree.walk(v4, func(start key, bits uint8, offset uint) { // was walked without error before
			if at == "" && offset == uint(fault.offset) {
				at = networkOf(start, bits, v4).String()
			}
		})
		if at != "" {
			return fmt.Errorf("record of network %s: %w", at, fault.err)
		}
	}
	return err
}
