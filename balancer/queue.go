package balancer

import (
	"container/list"
	"sync"
	"sync/atomic"
	"time"
)

// queue is the clients of a frontend that wait for a server with room. Who came
// first is served first, whichever server it is that gets room; a newcomer does
// not overtake. The zero queue is empty and has no room.
type queue struct {
	length atomic.Int64 // of waiting; changed under mu

	mu      sync.Mutex
	waiting list.List // guarded by mu; of *waiter, the first to come first
	most    int       // guarded by mu
}

// waiter is one client in the queue.
type waiter struct {
	from  flow
	tried []*server     // not these
	want  *server       // who was picked for it and had no room
	got   func(*server) // gets the server, or nil: the queue was given up. Called once, under queue.mu; must not block
	place *list.Element // guarded by queue.mu; nil: not in the queue
}

// join puts w at the end, unless the queue is full.
func (q *queue) join(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting.Len() >= q.most {
		return false
	}
	w.place = q.waiting.PushBack(w)
	q.length.Add(1)
	w.want.queued.Add(1)
	return true
}

// remove takes w out, and reports false if it was not in. Under mu.
func (q *queue) remove(w *waiter) bool {
	if w.place == nil {
		return false
	}
	q.waiting.Remove(w.place)
	w.place = nil
	q.length.Add(-1)
	w.want.queued.Add(-1)
	return true
}

func (q *queue) leave(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.remove(w)
}

func (q *queue) bound(most int) {
	q.mu.Lock()
	q.most = most
	q.mu.Unlock()
}

// serve gives servers to those who wait, as take has them. A client that may
// have any server and gets none ends the round: nobody behind it would get one.
func (q *queue) serve(take func(*waiter) *server) {
	if q.length.Load() == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for e := q.waiting.Front(); e != nil; {
		w := e.Value.(*waiter)
		e = e.Next()
		if s := take(w); s != nil {
			q.remove(w)
			w.got(s)
		} else if len(w.tried) == 0 {
			return
		}
	}
}

// giveUp sends everybody away.
func (q *queue) giveUp() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.waiting.Len() > 0 {
		w := q.waiting.Front().Value.(*waiter)
		q.remove(w)
		w.got(nil)
	}
}

// reserve takes a place at s, unless it has as many connections as it may. Who
// gets one releases it.
func (s *server) reserve() bool {
	most := s.most.Load()
	if most == 0 {
		s.open.Add(1)
		return true
	}
	for { // not Add and Sub: a place taken for a moment would look full to others
		n := s.open.Load()
		if n >= most {
			return false
		}
		if s.open.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// room tells whether reserve would succeed.
func (s *server) room() bool {
	most := s.most.Load()
	return most == 0 || s.open.Load() < most
}

// take returns a server for a connection from a client, with a place reserved: the one
// that is picked, or, if that has no room or some were tried already, another. With
// nil, full is a server that would be right but for want of room; nil if there is none.
func (t *table) take(from flow, tried []*server) (s, full *server) {
	if len(tried) == 0 {
		if s = t.pick(from); s == nil || s.reserve() {
			return s, nil
		}
		full = s
	}
	for {
		s, without := t.elsewhere(tried)
		if s == nil {
			if full == nil {
				full = without
			}
			return nil, full
		}
		if s.reserve() {
			return s, nil
		}
	}
}

// take is table.take of the present table, behind those who wait.
func (p *pool) take(from flow, tried []*server) (s, full *server) {
	t := p.table.Load()
	if p.queue.length.Load() > 0 {
		if full = t.pick(from); full != nil {
			return nil, full
		}
	}
	return t.take(from, tried)
}

// release gives a place at s back, to who waits for one.
func (p *pool) release(s *server) {
	s.open.Add(-1)
	p.serveQueue()
}

func (p *pool) serveQueue() {
	p.queue.serve(func(w *waiter) *server {
		s, _ := p.table.Load().take(w.from, w.tried)
		return s
	})
}

// await puts w into the queue, or reports false if that is full. w.got is called
// when a server has room for it, which may be before await returns.
func (p *pool) await(w *waiter, c *counters) bool {
	if !p.queue.join(w) {
		c.queueFull.Add(1)
		return false
	}
	p.serveQueue() // a place that was given back before w was in
	return true
}

// tire takes w, which has waited for too long, out of the queue. False: it got
// its server at the same time.
func (p *pool) tire(w *waiter, c *counters) bool {
	if !p.queue.leave(w) {
		return false
	}
	c.queueTimeouts.Add(1)
	w.want.queueTimeouts.Add(1)
	return true
}

// wait waits in the queue for a server, for a time at most; want is the one that had
// no room. It returns nil when that is over, or when the queue is full or given up.
func (p *pool) wait(from flow, tried []*server, want *server, most time.Duration, c *counters) *server {
	got := make(chan *server, 1)
	w := &waiter{from: from, tried: tried, want: want, got: func(s *server) { got <- s }}
	if !p.await(w, c) {
		return nil
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case s := <-got:
		return s
	case <-timer.C:
	}
	if p.tire(w, c) {
		return nil
	}
	return <-got
}
