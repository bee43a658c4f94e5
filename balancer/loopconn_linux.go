package balancer

import (
	"iter"
	"time"

	"golang.org/x/sys/unix"
)

// state is what a connection of a loop is at.
type state uint8

const (
	stateFree       state = iota // there is no connection
	stateConnecting              // to a server
	stateResolving               // likewise, by a goroutine, as its address is a name
	statePreamble                // until enough is known of the client
	statePausing                 // until servers are tried again
	stateQueued                  // until a server has room
	stateRelaying
	stateFlushing // a reset waits for the bytes before it
	stateLost     // ended by a panic; never used again
)

// end is one end of a connection, and also the way from it to the other.
type end int32

const (
	clientEnd end = 0
	serverEnd end = 1
)

// loopConn is one connection of a loop, from accept to its end; its memory is
// used again by later ones. It has no buffer while there is nothing in it, and no
// goroutine. What its ends hear is what relay says.
type loopConn struct {
	*connection // of its own, since others may look at it when the slot has another one
	timer       // of what state waits for
	loop        *loop
	slot        int32
	turn        int32 // which connection of this slot it is
	state       state

	busy  bool  // bytes have moved, since the last look
	quiet uint8 // looks in a row before which nothing had moved

	half   bool // one way has ended with FIN
	broken bool // an end is dead, but the other may still have bytes from it to get
	kept   bool // the server's socket has keep-alives
	prompt bool // and TCP_NODELAY
	dead   end  // in stateFlushing: the end that does not get the reset

	socks [2]sock
	ways  [2]way

	cfg    *Config
	server *server   // that it has a place at
	pre    *preamble // in statePreamble
	dialed int64
	sought int64         // when a server was first looked for
	since  int64         // in stateFlushing: its beginning
	acked  uint64        // bytes that the ends had acknowledged at the last look, and one more; 0: not known
	pause  time.Duration // in stateFlushing: between two looks
	try    *attempt
	strict *vigil // where a first byte or a least rate is asked for; else nil
}

// sock is the socket at one end.
type sock struct {
	fd      int32 // -1: none
	watched bool  // epoll tells of it
	out     bool  // also of room to write
	ready   bool  // there may be something to read
	blocked bool  // there is no room to write
	hup     bool  // a FIN is among what is to be read
	exact   bool  // a short read does not mean that there is no more
}

// way is what goes from one end to the other.
type way struct {
	held  *chunk      // what the other end has not taken yet; nil: nothing
	pipe  *splicePipe // likewise
	moved int64
	full  uint8 // full buffers in a row
	thin  uint8 // times in a row that splicing brought little
	burst int32 // bytes since there was nothing to read
	bulk  bool  // spliced
	eof   bool  // the end has finished
	done  bool  // and the other knows; or it cannot be told
}

// turn is a way of a connection that may end meanwhile.
type turn struct {
	c    *loopConn
	turn int32
	from end
}

// connTable has the connections of a loop by their slots. They never move.
type connTable struct {
	blocks [][]loopConn
	spare  []int32 // slots that are not in use
	live   int
}

const connBlock = 64

func (t *connTable) at(slot int32) *loopConn {
	return &t.blocks[slot/connBlock][slot%connBlock]
}

func (t *connTable) take(l *loop) *loopConn {
	if len(t.spare) == 0 {
		block := make([]loopConn, connBlock)
		first := int32(len(t.blocks)) * connBlock
		t.blocks = append(t.blocks, block)
		for i := range block {
			block[i].slot, block[i].loop = first+int32(i), l
			t.spare = append(t.spare, first+connBlock-1-int32(i))
		}
	}
	c := t.at(t.spare[len(t.spare)-1])
	t.spare = t.spare[:len(t.spare)-1]
	t.live++
	return c
}

func (t *connTable) give(c *loopConn) {
	*c = loopConn{slot: c.slot, turn: c.turn + 1, loop: c.loop}
	t.spare = append(t.spare, c.slot)
	t.live--
}

func (t *connTable) all() iter.Seq[*loopConn] {
	return func(yield func(*loopConn) bool) {
		for _, block := range t.blocks {
			for i := range block {
				if c := &block[i]; c.state != stateFree && c.state != stateLost && !yield(c) {
					return
				}
			}
		}
	}
}

// abort is called by whoever cuts a server's connections, under carried.mu: the
// connection cannot end before it is out of carried, nor be another one.
func (c *loopConn) abort() {
	turn := c.turn
	c.loop.post(func() {
		if c.turn == turn && c.state != stateFree {
			c.loop.end(c, endCut)
		}
	})
}

// end ends a connection with a reset, for a reason.
func (l *loop) end(c *loopConn, why ending) {
	c.blame(why)
	l.leave(c, resetFD)
}

// leave ends a connection, and what it holds is free. Its client hears of it last:
// when it comes again, it must find room.
func (l *loop) leave(c *loopConn, shut func(fd int32)) {
	c.conclude(l.now)
	l.unset(c)
	for i := range c.ways {
		l.drop(&c.ways[i])
	}
	front, taker, s, fd := c.front, c.taker(), c.server, c.socks[clientEnd].fd
	if to := c.socks[serverEnd].fd; to >= 0 {
		shut(to)
	}
	if c.try != nil && c.try.waiter != nil {
		front.pool.queue.leave(c.try.waiter) // if it was given a server just now, that comes back by gotServer
	}
	c.connection.end(l.now)
	if s != nil {
		front.pool.release(s)
	}
	l.table.give(c)
	taker.gate.leave()
	shut(fd)
}

// watch makes epoll tell of a socket, and of room to write there if that is asked for.
func (l *loop) watch(c *loopConn, at end, out bool) bool {
	s := &c.socks[at]
	if s.watched && (s.out || !out) {
		return true
	}
	op := unix.EPOLL_CTL_MOD
	if !s.watched {
		op = unix.EPOLL_CTL_ADD
	}
	events := uint32(unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff)
	if out {
		events |= unix.EPOLLOUT
	}
	if errno := l.control(op, s.fd, events, c.slot<<1|int32(at), c.turn); errno != 0 {
		l.warn("balancer: cannot watch a connection; it is reset", c.front.name, errno)
		l.end(c, endCut)
		return false
	}
	s.watched, s.out = true, out
	return true
}
