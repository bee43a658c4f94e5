package zones

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"sync"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/parallel"
)

// record is one resource record as a master file gives it. Its slices are
// valid during the call that it is given to only.
type record struct {
	owner         []byte // wire form, the letters as written
	rrtype, class uint16
	ttl           uint32 // seconds
	data          []byte // wire form, names in it not compressed; known to be whole
	file          string
	line          int // where it stands
}

// builder makes a zone of the records of its master file. It keeps them, in the
// order in which they come, until finish knows all of them.
type builder struct {
	zone  *Zone
	files []sourceFile

	names  []string // of files, as records say
	nodes  list[draft]
	text   pieces // names and records
	index  index  // of nodes
	name   Name   // the last owner name,
	owner  []byte
	at     uint32 // and its node
	octets int    // at most, that nodes and records take in the arena

	records int // added, those of earlier zones too

	encoder Encoder
	result  Result
}

// draft is a node while its zone is being built.
type draft struct {
	hash        uint64
	name        uint32 // its place in text
	first, last uint32 // the places of its records in text; 0: there is none
	up          uint32 // the number of the node above it
	len, flags  uint8
}

// Of a record in text: the place of the node's next one, its TTL, its line, its
// type, its file and the length of its data, which follows.
const (
	textNext = 4 * iota
	textTTL
	textLine
	textType // and file
	textLen
	textData
)

// builders are there to be used again: a million zones need no more memory
// while they are read than a few.
var builders = sync.Pool{New: func() any { return new(builder) }}

// yieldEvery is after how many records, or names, work on a zone yields: after some
// hundred microseconds.
const yieldEvery = 256

// newBuilder begins a zone.
func newBuilder(cfg Config) (*builder, error) {
	origin, err := dnsname.Parse(cfg.Name)
	if err != nil {
		return nil, err
	}
	b := builders.Get().(*builder)
	b.files, b.names, b.octets, b.owner, b.at = nil, b.names[:0], nodeHead, b.owner[:0], 0
	b.nodes.clear()
	b.text.clear()
	if cap(b.index) > 1<<12 {
		b.index = nil
	}
	clear(b.index)
	b.name.Set(origin)
	b.zone = &Zone{File: cfg.File, apex: bytes.Clone(b.name.Wire()), hash: b.name.hash[0], labels: uint8(b.name.labels)}
	b.zone.Name = dnsname.Format(b.zone.apex)
	b.nodes.add(draft{}) // number 0 is none
	b.node(0, origin, 0)
	return b, nil
}

// release lets the builder be used again. Nothing of it is part of the zone.
func (b *builder) release() {
	b.zone, b.result = nil, Result{}
	builders.Put(b)
}

// opened notes a file that records come from, as it was when it was opened. The
// reader calls it for the master file and for each that it includes.
func (b *builder) opened(path string, info fs.FileInfo) {
	b.files = append(b.files, sourceFileOf(path, info))
}

// add puts a record into the zone. An error tells what is wrong with it; the
// caller says where, and may go on.
func (b *builder) add(rec record) error {
	if b.records++; b.records%yieldEvery == 0 {
		parallel.Yield()
	}
	if rec.class != dns.ClassINET {
		return fmt.Errorf("%s %s has class %s: only IN is served", dnsname.Format(rec.owner), dns.Type(rec.rrtype), dns.Class(rec.class))
	}
	if b.at == 0 || !bytes.Equal(rec.owner, b.owner) {
		b.at, b.owner = 0, append(b.owner[:0], rec.owner...)
		if b.name.Set(rec.owner) < 0 || !b.zone.holds(&b.name) {
			return fmt.Errorf("%s is not in the zone %s", dnsname.Format(rec.owner), b.zone.Name)
		}
		b.at = b.place(rec.owner)
	}
	if rec.ttl > 1<<31-1 { // RFC 2181, section 8
		return fmt.Errorf("%s %s has TTL %d: at most 2147483647", dnsname.Format(rec.owner), dns.Type(rec.rrtype), rec.ttl)
	}
	return b.keep(b.nodes.at(b.at), &rec)
}

// keep puts a record behind those that its node has.
func (b *builder) keep(d *draft, rec *record) error {
	at, t := b.text.add(textData + len(rec.data))
	if t == nil {
		return errTooMuch
	}
	binary.LittleEndian.PutUint32(t[textNext:], 0)
	binary.LittleEndian.PutUint32(t[textTTL:], rec.ttl)
	binary.LittleEndian.PutUint32(t[textLine:], uint32(rec.line))
	binary.LittleEndian.PutUint16(t[textType:], rec.rrtype)
	binary.LittleEndian.PutUint16(t[textType+2:], b.file(rec.file))
	binary.LittleEndian.PutUint32(t[textLen:], uint32(len(rec.data)))
	copy(t[textData:], rec.data)
	if d.first == 0 {
		d.first = at
		copy(b.text.at(d.name), rec.owner) // the letters of the first record count
		if hasUpper(rec.owner) {
			d.flags |= letters
		} else {
			d.flags &^= letters
		}
	} else {
		binary.LittleEndian.PutUint32(b.text.at(d.last)[textNext:], at)
	}
	d.last = at
	b.octets += 12 + recordHead + len(rec.data)
	return nil
}

// file gives a number for the name of a file. Past 65535 they share the last.
func (b *builder) file(name string) uint16 {
	for i := len(b.names) - 1; i >= 0; i-- {
		if b.names[i] == name {
			return uint16(i)
		}
	}
	if len(b.names) == math.MaxUint16 {
		return math.MaxUint16 - 1
	}
	b.names = append(b.names, name)
	return uint16(len(b.names) - 1)
}

// place gives the number of the node of b.name, which is owner in lower case,
// and makes it and the names above it where they are not there.
func (b *builder) place(owner []byte) uint32 {
	below := b.name.labels - int(b.zone.labels) // how many labels it has below the apex
	k := 0
	at := uint32(0)
	for ; k < below; k++ {
		if at = b.find(k); at != 0 {
			break
		}
	}
	if k == below {
		at = uint32(apex)
	}
	for k--; k >= 0; k-- {
		b.nodes.at(at).flags |= hasBelow | wildFlag(owner[b.name.off[k]:])
		at = b.node(k, owner[b.name.off[k]:], at)
	}
	return at
}

func wildFlag(name []byte) uint8 {
	if dnsname.IsWild(name) {
		return hasWild
	}
	return 0
}

// find gives the number of the node of b.name without its first k labels, or 0.
func (b *builder) find(k int) uint32 {
	h := b.name.hash[k]
	for n, i := b.index.first(h); n != 0; n, i = b.index.after(h, i) {
		if d := b.nodes.at(n); d.hash == h && sameName(b.text.at(d.name)[:d.len], b.name.from(k)) {
			return n
		}
	}
	return 0
}

// node makes the node of b.name without its first k labels, which is owner as
// written, below the node up; 0: it is the apex.
func (b *builder) node(k int, owner []byte, up uint32) uint32 {
	at, t := b.text.add(len(owner))
	copy(t, owner)
	d := draft{hash: b.name.hash[k], name: at, up: up, len: uint8(len(owner))}
	if hasUpper(owner) {
		d.flags = letters
	}
	b.octets += nodeHead + len(owner) + 3
	n := b.nodes.add(d)
	if 5*int(n) > 3*len(b.index) {
		b.grow()
	} else {
		b.index.put(d.hash, n)
	}
	return n
}

// grow makes the index larger.
func (b *builder) grow() {
	b.index = newIndex(2 * (b.nodes.len() + 8))
	for n := uint32(1); n < uint32(b.nodes.len()); n++ {
		b.index.put(b.nodes.at(n).hash, n)
	}
}

func hasUpper(name []byte) bool {
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}
