package balancer

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// splicePipe is what bytes go through that the kernel moves.
type splicePipe struct {
	read, write int32
	held        int
}

const (
	pipeSize  = 256 << 10
	pipesKept = 64
	thinMost  = 8 // times in a row that splicing brings less than a buffer until it ends
)

func newSplicePipe() (*splicePipe, syscall.Errno) {
	var fds [2]int32
	_, _, errno := unix.RawSyscall(unix.SYS_PIPE2, uintptr(unsafe.Pointer(&fds)), unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errno != 0 {
		return nil, errno
	}
	// Beyond the limits of pipe(7) it stays small, which is slower and not wrong.
	unix.RawSyscall(unix.SYS_FCNTL, uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	return &splicePipe{read: fds[0], write: fds[1]}, 0
}

func (p *splicePipe) close() {
	closeFD(p.read)
	closeFD(p.write)
}

// pullPipe moves from an end into a pipe, and from there to the other end.
func (l *loop) pullPipe(c *loopConn, from end) {
	w, src := &c.ways[from], &c.socks[from]
	if w.pipe == nil && !l.takePipe(w) {
		w.bulk = false
		return
	}
	n, errno := splice(src.fd, w.pipe.write, turnShare)
	switch {
	case errno == unix.EINTR:
		return
	case errno == unix.EAGAIN: // of the end: the pipe is empty
		src.ready = false
		if w.thin++; int(w.burst) >= bufferSize {
			w.thin = 0
		}
		if w.burst = 0; w.thin == thinMost {
			w.thin, w.bulk = 0, false
		}
		return
	case errno == unix.EINVAL: // it cannot be spliced
		w.bulk = false
		return
	case errno != 0:
		c.blameReset(from == clientEnd)
		l.pass(c, from)
		return
	case n == 0:
		w.eof = true
		return
	}
	w.burst = int32(min(int(w.burst)+n, 1<<30))
	w.pipe.held = n
	l.count(c, from, n)
	l.hurry(c, from)
	l.pushPipe(c, from)
}

// pushPipe is push of what is in a pipe.
func (l *loop) pushPipe(c *loopConn, from end) bool {
	w, dst := &c.ways[from], &c.socks[1-from]
	for w.pipe.held > 0 {
		n, errno := splice(w.pipe.read, dst.fd, w.pipe.held)
		switch errno {
		case 0:
			w.pipe.held -= n
			c.front.counters.spliced.Add(int64(n))
			c.busy = true
		case unix.EINTR:
		case unix.EAGAIN:
			l.block(c, from)
			return false
		default:
			l.breakOff(c, from)
			return false
		}
	}
	return true
}

func (l *loop) takePipe(w *way) bool {
	if n := len(l.pipes); n > 0 {
		w.pipe = l.pipes[n-1]
		l.pipes = l.pipes[:n-1]
		return true
	}
	p, errno := newSplicePipe()
	w.pipe = p
	return errno == 0
}

// give gives an empty pipe back.
func (l *loop) give(w *way) {
	switch {
	case w.pipe == nil || w.pipe.held > 0:
		return
	case len(l.pipes) < pipesKept:
		l.pipes = append(l.pipes, w.pipe)
	default:
		w.pipe.close()
	}
	w.pipe = nil
}

func unixConnect(errno syscall.Errno) error { return os.NewSyscallError("connect", errno) }
