package afxdp

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// batch is how many queries are answered before the answers are sent.
	batch = 64
	// settle is how long, in milliseconds, the wait for queries lasts while answers
	// are on their way: their frames are wanted back.
	settle = 2
)

// queueCounters are what one queue has counted. Only its goroutine adds.
type queueCounters struct {
	received atomic.Uint64
	answered atomic.Uint64
	unsent   atomic.Uint64
	dropped  [faults]atomic.Uint64
	lost     atomic.Uint64 // by sockets that are closed
	_        [64]byte      // keep neighbours off this cache line
}

// queue serves one receive queue, for as long as its socket lives.
type queue struct {
	*socket
	handler Handler
	count   *queueCounters
	limit   int // of answers, in octets
	d       datagram
	owed    int // frames that were submitted for sending and did not come back
}

// serve answers queries until stop, an eventfd, is readable. It keeps its
// thread, which waits in the kernel.
func (q *queue) serve(stop int) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	wait := []unix.PollFd{{Fd: int32(q.fd), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
	for {
		n := q.answer()
		q.flush()
		q.reclaim()
		if n > 0 {
			continue
		}
		timeout := -1
		if q.owed > 0 {
			timeout = settle
		}
		if _, err := unix.Poll(wait, timeout); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("poll: %w", err)
		}
		if wait[1].Revents != 0 {
			for q.answer() > 0 { // the program is detached: what had come is all
				q.flush()
				q.reclaim()
			}
			return nil
		}
		if wait[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
			return errors.New("the interface is gone")
		}
	}
}

// answer answers what has come, at most a batch of it, and puts the answers into
// the transmit ring. It gives the number of queries.
func (q *queue) answer() int {
	n := int(min(q.received.ready(), batch))
	if n == 0 {
		return 0
	}
	for range n {
		r := q.received.take()
		if size := q.one(q.umem[r.Addr:(r.Addr|(chunk-1))+1], int(r.Len)); size > 0 {
			q.send.put(unix.XDPDesc{Addr: r.Addr, Len: uint32(size)})
			q.owed++
		} else {
			q.fill.put(r.Addr)
		}
	}
	q.handler.Answered()
	q.received.release()
	q.count.received.Add(uint64(n))
	return n
}

// one turns the query in the first n octets of frame into its answer, and gives
// the answer's length; 0 for none.
func (q *queue) one(frame []byte, n int) int {
	if f := q.d.parse(frame[:n]); f != sound {
		q.count.dropped[f].Add(1)
		return 0
	}
	payload := q.handler.Answer(q.d.payload, q.d.src, q.limit)
	if len(payload) == 0 {
		return 0
	}
	return q.d.reply(frame, payload)
}

// flush hands the answers to the kernel. A call sends only so many frames, so
// that it takes several; what does not go now goes with the next wait.
func (q *queue) flush() {
	if q.send.next != *q.send.producer {
		q.send.submit()
	}
	for left := q.send.unread(); left > 0 && q.send.sleeps(); {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(q.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EBUSY { // the driver threw one away
			q.count.unsent.Add(1)
		}
		now := q.send.unread()
		if now == left || q.zeroCopy {
			return // nothing moves now, or the driver goes on by itself
		}
		left = now
	}
}

// reclaim gives the frames whose answers were sent back to the kernel, for
// queries to come.
func (q *queue) reclaim() {
	if n := q.done.ready(); n > 0 {
		for range n {
			q.fill.put(q.done.take())
		}
		q.done.release()
		q.owed -= int(n)
		q.count.answered.Add(uint64(n))
	}
	if q.fill.next != *q.fill.producer {
		q.fill.submit()
	}
}
