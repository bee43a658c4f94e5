package dnssec

import (
	"cmp"
	"crypto/sha256"
	"slices"
)

// Cache holds the signatures of a zone as it was last signed, by key and by
// what they sign. It makes signing anew cheap: what is unchanged and not due is
// looked up by its digest. It never changes once it has been returned; only what
// SignZone used is in it, and what a Part made since.
//
// It needs about 100 octets for each signature of 64.
type Cache struct {
	keys map[[8]byte]*signatures // by Key.id
	// later are those that came after, the newest last, each at most half as many as
	// those before it: so there are few of them, and to add some copies few others.
	later []*Cache
}

// blockLen is about how many octets of signatures are kept in one piece.
const blockLen = 1 << 16

// signatures are those of one key. All are of one length.
type signatures struct {
	length   int
	perBlock int
	index    map[digest]uint32
	blocks   [][]byte
}

// digest tells what is signed: half of a SHA-256 is enough to tell a zone's
// own records apart.
type digest [16]byte

func digestOf(signed []byte) digest {
	sum := sha256.Sum256(signed)
	return digest(sum[:16])
}

// get finds a signature, or nil.
func (c *Cache) get(k *Key, d digest) []byte {
	if c == nil {
		return nil
	}
	if s := c.keys[k.id]; s != nil {
		if i, ok := s.index[d]; ok {
			return s.at(i)
		}
	}
	for _, l := range c.later {
		if known := l.get(k, d); known != nil {
			return known
		}
	}
	return nil
}

// with gives the cache with the signatures of another that has no later ones.
func (c *Cache) with(more *Cache) *Cache {
	if c == nil || more.Len() == 0 {
		return cmp.Or(c, more)
	}
	next := &Cache{keys: c.keys, later: append(slices.Clone(c.later), more)}
	for n := len(next.later); n > 1 && 2*next.later[n-1].Len() > next.later[n-2].Len(); n-- {
		next.later = append(next.later[:n-2], joined(next.later[n-2], next.later[n-1]))
	}
	return next
}

// joined gives the signatures of two caches without later ones.
func joined(a, b *Cache) *Cache {
	next := &Cache{keys: make(map[[8]byte]*signatures)}
	for _, from := range []*Cache{a, b} {
		for id, s := range from.keys {
			for d, i := range s.index {
				next.add(id, s.length, d, s.at(i), len(s.index))
			}
		}
	}
	return next
}

// at gives the signature with a number.
func (s *signatures) at(i uint32) []byte {
	at := int(i) % s.perBlock * s.length
	return s.blocks[int(i)/s.perBlock][at : at+s.length]
}

// put takes in a signature. Expected says how many of this key there will be,
// about.
func (c *Cache) put(k *Key, d digest, signature []byte, expected int) {
	c.add(k.id, k.signatureLen(), d, signature, expected)
}

func (c *Cache) add(id [8]byte, length int, d digest, signature []byte, expected int) {
	s := c.keys[id]
	if s == nil {
		s = &signatures{length: length, index: make(map[digest]uint32, expected)}
		s.perBlock = blockLen / s.length
		c.keys[id] = s
	}
	if _, ok := s.index[d]; ok || len(signature) != s.length {
		return
	}
	i := len(s.index)
	if i%s.perBlock == 0 {
		s.blocks = append(s.blocks, make([]byte, 0, min(s.perBlock, max(4, expected-i, i))*s.length))
	}
	last := &s.blocks[len(s.blocks)-1]
	*last = append(*last, signature...)
	s.index[d] = uint32(i)
}

// Len is how many signatures there are.
func (c *Cache) Len() int {
	n := 0
	if c != nil {
		for _, s := range c.keys {
			n += len(s.index)
		}
		for _, l := range c.later {
			n += l.Len()
		}
	}
	return n
}

// len is how many there are of one key.
func (c *Cache) len(k *Key) int {
	if c == nil || c.keys[k.id] == nil {
		return 0
	}
	return len(c.keys[k.id].index)
}
