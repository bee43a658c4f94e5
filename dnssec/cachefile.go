package dnssec

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
)

// cacheMagic begins a written cache, and tells its format.
const cacheMagic = "gslb signatures 1\n"

// WriteTo writes the cache, with a checksum, so that a zone need not be signed
// anew after a restart. Nothing in it is secret, but who can change it can make
// a zone bogus.
func (c *Cache) WriteTo(w io.Writer) (int64, error) {
	sum := sha256.New()
	out := &countingWriter{w: bufio.NewWriter(w), sum: sum}
	out.write([]byte(cacheMagic))
	for id, s := range c.all() {
		head := binary.BigEndian.AppendUint16(bytes.Clone(id[:]), uint16(s.length))
		out.write(binary.BigEndian.AppendUint32(head, uint32(len(s.index))))
		for d, i := range s.index {
			out.write(d[:])
			out.write(s.at(i))
		}
	}
	out.sum = nil
	out.write(sum.Sum(nil))
	return out.n, errors.Join(out.err, out.w.Flush())
}

// all gives the signatures by key: those of one key in as many parts as they came.
func (c *Cache) all() iter.Seq2[[8]byte, *signatures] {
	return func(yield func([8]byte, *signatures) bool) {
		for _, l := range append([]*Cache{c}, c.later...) {
			for id, s := range l.keys {
				if !yield(id, s) {
					return
				}
			}
		}
	}
}

type countingWriter struct {
	w   *bufio.Writer
	sum hash.Hash
	n   int64
	err error
}

func (o *countingWriter) write(b []byte) {
	if o.sum != nil {
		o.sum.Write(b)
	}
	n, err := o.w.Write(b)
	o.n += int64(n)
	if o.err == nil {
		o.err = err
	}
}

// ReadCache reads what WriteTo wrote. Of signatures of keys that are not among
// these it takes none. An error means that there is no cache: sign anew.
func ReadCache(r io.Reader, keys []*Key) (*Cache, error) {
	sum := sha256.New()
	in := io.TeeReader(bufio.NewReader(r), sum)
	magic := make([]byte, len(cacheMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != cacheMagic {
		return nil, errors.New("signatures: this is no file of them, or one of another version")
	}
	c := &Cache{keys: make(map[[8]byte]*signatures)}
	var head [14]byte
	for {
		want := sum.Sum(nil)
		// The checksum stands where the next key would, and is longer.
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return nil, fmt.Errorf("signatures: the file ends too early: %w", err)
		}
		if bytes.Equal(head[:], want[:len(head)]) {
			rest := make([]byte, len(want)-len(head))
			if _, err := io.ReadFull(in, rest); err != nil || !bytes.Equal(rest, want[len(head):]) {
				return nil, errors.New("signatures: the checksum is wrong")
			}
			return c, nil
		}
		length, count := int(binary.BigEndian.Uint16(head[8:])), int(binary.BigEndian.Uint32(head[10:]))
		var owner *Key
		for _, k := range keys {
			if k.id == [8]byte(head[:8]) && k.signatureLen() == length {
				owner = k
			}
		}
		entry := make([]byte, len(digest{})+length)
		for range count {
			if _, err := io.ReadFull(in, entry); err != nil {
				return nil, fmt.Errorf("signatures: the file ends too early: %w", err)
			}
			if owner != nil {
				c.put(owner, digest(entry[:len(digest{})]), entry[len(digest{}):], min(count, 1<<20))
			}
		}
	}
}
