package dnsserver

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// Words of Config.TCPEngine. Both engines promise the same, and pass the same tests.
const (
	engineAuto     = "auto"     // epoll where the system has it
	engineEpoll    = "epoll"    // loops.go: a few threads, each with many connections
	enginePortable = "portable" // streams.go: a goroutine for each connection
)

// epolls tells whether event loops serve TCP.
func (c Config) epolls() bool {
	return canEpoll && c.TCPEngine != enginePortable
}

// tcpLimits bounds the connections of all engines together, so that a few
// clients cannot take them all.
type tcpLimits struct {
	open    atomic.Int64
	refused atomic.Uint64
	evicted atomic.Uint64
	clients [clientShards]clientShard
}

const clientShards = 64 // a power of two

// clientShard counts the connections of those clients whose addresses it gets.
type clientShard struct {
	mu sync.Mutex
	n  map[netip.Addr]int
	_  [64]byte // keep neighbours off this cache line
}

// evictor closes a connection that waits for its client, to make room for
// another; false when there is none.
type evictor interface{ evict() bool }

// take counts a connection of a client in, unless there are too many. When there
// are too many in all, one that waits for its client is closed instead (RFC 7766,
// section 6.2.3: idle connections may be closed at any time).
func (t *tcpLimits) take(a netip.Addr, maxAll, maxClient int, e evictor) bool {
	if !t.client(a).take(a, maxClient) {
		t.refused.Add(1)
		return false
	}
	if t.open.Add(1) > int64(maxAll) {
		if !e.evict() {
			t.give(a)
			t.refused.Add(1)
			return false
		}
		t.evicted.Add(1)
	}
	return true
}

// give counts a connection out.
func (t *tcpLimits) give(a netip.Addr) {
	t.open.Add(-1)
	t.client(a).give(a)
}

func (t *tcpLimits) client(a netip.Addr) *clientShard {
	b := a.As16()
	h := uint32(b[15]) | uint32(b[14])<<8 | uint32(b[7])<<16 | uint32(b[6])<<24
	return &t.clients[h*0x9e3779b1>>26%clientShards]
}

func (c *clientShard) take(a netip.Addr, most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n[a]
	if n >= most {
		return false
	}
	if c.n == nil {
		c.n = make(map[netip.Addr]int)
	}
	c.n[a] = n + 1
	return true
}

func (c *clientShard) give(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.n[a]; n > 1 {
		c.n[a] = n - 1
		return
	}
	delete(c.n, a)
}
