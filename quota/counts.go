package quota

import "sync/atomic"

// Counts bounds how many each of many holds at once. Its methods may be called by
// many goroutines at once.
type Counts struct {
	most uint64
	mask uint64
	sets [][ways]atomic.Uint64
}

// A word of Counts is the tag of who is counted above the count. A count of 0
// is free for anyone.
const (
	countBits = 24
	countMask = 1<<countBits - 1
)

// MostCount is the highest bound that Counts can have.
const MostCount = countMask - 1

// Place is where one that holds something is counted. The zero Place is nowhere.
type Place struct{ word *atomic.Uint64 }

// NewCounts makes a table that counts at least size different numbers, in 8
// octets each, rounded up to a power of two. Each may hold most, up to MostCount.
func NewCounts(most uint64, size int) *Counts {
	n := powerOfTwo(size / ways)
	return &Counts{most: min(most, MostCount), mask: uint64(n - 1), sets: make([][ways]atomic.Uint64, n)}
}

func powerOfTwo(least int) int {
	n := 1
	for n < least {
		n *= 2
	}
	return n
}

// Enter counts one more for a number, mixed by a Key, and reports false if it
// holds as many as it may. Where its set is full of others it is let in
// uncounted. The Place leaves once; that of a false is nowhere.
func (c *Counts) Enter(h uint64) (Place, bool) {
	set, tag := &c.sets[h&c.mask], h>>countBits
	for {
		word, was := find(set, tag)
		switch n := was & countMask; {
		case word == nil:
			return Place{}, true
		case n >= c.most:
			return Place{}, false
		case word.CompareAndSwap(was, tag<<countBits|(n+1)):
			return Place{word}, true
		} // else another goroutine has changed it
	}
}

// find returns the word that counts for a tag, or one that is free, with what it holds.
func find(set *[ways]atomic.Uint64, tag uint64) (word *atomic.Uint64, was uint64) {
	for i := range set {
		held := set[i].Load()
		switch {
		case held&countMask == 0:
			if word == nil {
				word, was = &set[i], held
			}
		case held>>countBits == tag:
			return &set[i], held
		}
	}
	return word, was
}

// Leave counts one less.
func (p Place) Leave() {
	if p.word != nil {
		p.word.Add(^uint64(0)) // the count is above 0 as long as anybody is there, so the tag stays
	}
}

// Held is how many are counted for a number now.
func (c *Counts) Held(h uint64) uint64 {
	_, held := find(&c.sets[h&c.mask], h>>countBits)
	return held & countMask
}
