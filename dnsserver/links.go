package dnsserver

import (
	"sync"
	"sync/atomic"
	"time"
)

// link is a connection as one among all that have goroutines: which of them waits,
// and for how long, whatever is spoken over it.
type link struct {
	// idle is since when it waits for its client (Unix time in nanoseconds), 0 while
	// it does not, or evicted.
	idle atomic.Int64
	hang hanger
}

const evicted = -1

// hanger ends a connection.
type hanger interface {
	// evict ends it while it waits for its client; it must not block.
	evict()
	// end makes it end, whatever it does.
	end()
}

// waits notes that the connection waits for its client from now on.
func (l *link) waits() {
	l.turn(time.Now().UnixNano())
}

// goesOn notes that it does not wait any more; false: it was closed meanwhile.
func (l *link) goesOn() bool { return l.turn(0) }

// turn sets idle, unless the connection was closed.
func (l *link) turn(to int64) bool {
	for {
		at := l.idle.Load()
		if at == evicted {
			return false
		}
		if l.idle.CompareAndSwap(at, to) {
			return true
		}
	}
}

// links are all connections that have goroutines.
type links struct {
	mu     sync.Mutex // guards what follows
	all    map[*link]struct{}
	ending bool
}

// evictFrom is how many connections are looked at for the one to close: the
// longest idle of so many is among the longest idle of all.
const evictFrom = 32

// evict is part of evictor: it ends a connection that has been idle for long.
func (t *links) evict() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	var victim *link
	var since int64
	looked := 0
	for l := range t.all { // begins anywhere
		if at := l.idle.Load(); at > 0 && (victim == nil || at < since) {
			victim, since = l, at
		}
		if looked++; looked == evictFrom {
			break
		}
	}
	if victim == nil || !victim.idle.CompareAndSwap(since, evicted) {
		return false
	}
	victim.hang.evict()
	return true
}

// add takes a connection in, unless the end has come.
func (t *links) add(l *link) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending {
		return false
	}
	if t.all == nil {
		t.all = make(map[*link]struct{})
	}
	t.all[l] = struct{}{}
	return true
}

func (t *links) remove(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, l)
}

// waiting counts the connections that wait for their clients.
func (t *links) waiting() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range t.all {
		if l.idle.Load() > 0 {
			n++
		}
	}
	return n
}

// end makes all connections end, and takes no more.
func (t *links) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ending = true
	for l := range t.all {
		l.hang.end()
	}
}
