package balancer

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A relay moves the bytes of one connection between its client and its server,
// and ends each side as the other side ended:
//
//	one end says      the other end hears
//	FIN               FIN, after all bytes; the way back stays open (half-close)
//	RST               RST, after the bytes before it, if the other end takes them within a second
//	nothing at all    both hear RST after the idle time-out (half-closed: the close time-out)
//
// FIN is only ever passed on, never made up: an end must not take a connection
// that was cut for one that was finished.
//
// Bytes go through a small buffer that is only held while there is something in
// it. A direction that filled the buffer twice in a row is bulk and is spliced:
// the kernel moves the bytes, and the pipe that this takes is given back when
// the direction pauses. Nothing is read while the other end does not take what
// was read before, so the two sockets' buffers and one pipe bound what is in flight.
type relay struct {
	connection
	client, server *net.TCPConn
	limits         limits
	buffers        *sync.Pool // of *[bufferSize]byte
	early          early

	half   atomic.Bool // one direction has ended with FIN
	broken atomic.Bool // an end is dead, but the other may still have bytes from it to get
	passed atomic.Bool // a reset was or is being passed on
	clock  idleClock
}

const (
	bufferSize  = 16 << 10
	spliceAfter = 2           // full buffers in a row that make a direction bulk
	spliceChunk = 1 << 20     // most bytes until they are counted
	flushMost   = time.Second // how long a reset waits for the bytes before it
)

// run moves bytes until both directions have ended.
func (r *relay) run() {
	r.clock.start(r)
	defer r.clock.stop()
	var wg sync.WaitGroup
	wg.Go(func() { r.move(r.server, r.client, true) })
	r.move(r.client, r.server, false)
	wg.Wait()
	if r.broken.Load() {
		r.pass(r.client)
		return
	}
	r.conclude(instantNow())
	r.client.Close()
	r.server.Close()
}

// abort resets both ends at once. It does not block, and may come at any time.
func (r *relay) abort() {
	// Both before either is closed: then a Close by run, which sees its directions
	// end, is a reset as well.
	r.client.SetLinger(0)
	r.server.SetLinger(0)
	r.client.Close()
	r.server.Close()
}

// reset closes conn with RST instead of FIN.
func reset(conn *net.TCPConn) {
	conn.SetLinger(0)
	conn.Close()
}

// move carries one direction to its end.
func (r *relay) move(dst, src *net.TCPConn, up bool) {
	d := &direction{relay: r, dst: dst, src: src, up: up}
	err := d.copy()
	switch {
	case err == nil && !r.broken.Load():
		r.blameFinish(up)
		if dst.CloseWrite() == nil {
			r.half.Store(true)
			r.clock.half(r)
			return
		}
		r.blameReset(!up)
		r.broken.Store(true) // dst is dead; the other direction finds out when it has read the rest
	case err == nil: // the end that src's silence follows was a reset, seen when writing to it
		r.pass(dst)
	case errors.Is(err, net.ErrClosed): // aborted
	case errors.Is(err, errDst):
		r.blameReset(!up)
		r.broken.Store(true)
	default:
		r.blameReset(up)
		r.pass(dst)
	}
}

// pass passes a reset on to dst, behind the bytes that it still has to take.
func (r *relay) pass(dst *net.TCPConn) {
	if r.passed.CompareAndSwap(false, true) {
		r.conclude(instantNow())
		flush(dst, flushMost)
		r.abort()
	}
}

// flush waits until the peer of conn has taken all that was written.
func flush(conn *net.TCPConn, most time.Duration) {
	end := time.Now().Add(most)
	for pause := time.Millisecond; unsent(conn) > 0 && time.Now().Before(end); pause = min(2*pause, 50*time.Millisecond) {
		time.Sleep(pause)
	}
}

// errDst marks an error of a direction's destination.
var errDst = errors.New("destination")

// direction is one way of a relay.
type direction struct {
	relay    *relay
	dst, src *net.TCPConn
	up       bool // from the client to the server

	buf *[bufferSize]byte // what fill read
	n   int
	err error
}

// copy returns nil at the end of src, or an error: one of src, or errDst.
func (d *direction) copy() error {
	raw, err := d.src.SyscallConn()
	if err != nil {
		return err
	}
	if d.up {
		if err := d.relay.passEarly(d); err != nil {
			return asDst(err)
		}
	}
	fill := d.fill // once: each use of the method as a value allocates
	for full := 0; ; {
		if full == spliceAfter {
			full = 0
			if done, err := d.splice(); done {
				return err
			}
		}
		if err := raw.Read(fill); err != nil {
			return err
		}
		if d.err != nil || d.n == 0 {
			d.release()
			return d.err
		}
		if full++; d.n < bufferSize {
			full = 0
		}
		n, err := d.dst.Write(d.buf[:d.n])
		d.release()
		d.count(n)
		if err != nil {
			return asDst(err)
		}
	}
}

// fill reads into a buffer that it takes only if there is something to read.
// It reports false when there is not, to be called again when there is.
func (d *direction) fill(fd uintptr) bool {
	d.buf = d.relay.buffers.Get().(*[bufferSize]byte)
	for {
		d.n, d.err = syscall.Read(int(fd), d.buf[:])
		switch d.err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			d.release()
			return false
		default:
			return true
		}
	}
}

func (d *direction) release() {
	d.relay.buffers.Put(d.buf)
	d.buf = nil
}

// splice moves bytes by the kernel until src pauses (done is false) or ends.
func (d *direction) splice() (done bool, err error) {
	for {
		d.src.SetReadDeadline(time.Now().Add(d.relay.pause()))
		chunk := io.LimitedReader{R: d.src, N: spliceChunk}
		n, err := d.dst.ReadFrom(&chunk)
		d.count(int(n))
		d.relay.front.counters.spliced.Add(n)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			d.src.SetReadDeadline(time.Time{})
			return false, nil
		case errors.Is(err, syscall.EPIPE): // which only a write can give
			return true, asDst(err)
		case err != nil:
			return true, err
		case n < spliceChunk:
			return true, nil
		}
	}
}

// pause is how long a bulk direction may be silent until its pipe is given back.
func (r *relay) pause() time.Duration { return min(time.Second, r.limits.close/8) }

func (d *direction) count(n int) { d.relay.moved(d.up, n, instantNow()) }

// asDst marks err as one of the destination, except that of an abort.
func asDst(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return net.ErrClosed
	}
	return errDst
}

// idleClock looks whether a relay is to end.
type idleClock struct {
	mu      sync.Mutex
	timer   *time.Timer // guarded by mu
	stopped bool        // guarded by mu
	vigil   vigil       // guarded by mu
}

func (c *idleClock) start(r *relay) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(r.limits.every(false), func() { c.look(r) })
}

func (c *idleClock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.timer.Stop()
}

// half starts the close time-out.
func (c *idleClock) half(r *relay) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped {
		c.vigil.turned()
		c.timer.Reset(r.limits.every(true))
	}
}

func (c *idleClock) look(r *relay) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	half := r.half.Load()
	if end := c.vigil.look(&r.connection, r.limits, half, acknowledged(r.client)+acknowledged(r.server)); end != endOpen {
		c.stopped = true
		r.blame(end)
		r.conclude(instantNow())
		r.abort()
		return
	}
	c.timer.Reset(r.limits.every(half))
}
