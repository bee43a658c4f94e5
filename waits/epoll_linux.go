package waits

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Epoll is a worker that waits at an epoll(7) set. The zero Epoll is ready.
type Epoll struct {
	Holder
	fruitless int // waits for nothing, one after the other, with the P kept
}

// patience is how many times Short a worker that keeps its P waits for nothing
// before it lets go of it. One that lets go more often costs more than it gives:
// each time the runtime's monitor looks at everything for a while.
const patience = 5

// Wait waits for events of the set fd, and returns how many of events it has
// filled: 0 after timeout milliseconds (-1: never), or sooner for a worker that
// keeps its P.
func (e *Epoll) Wait(fd int, events []unix.EpollEvent, timeout int) (int, syscall.Errno) {
	if e.holding || timeout == 0 {
		short := min(uint64(timeout), uint64(Short/time.Millisecond)) // -1 is for ever
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(short), 0, 0)
		if errno != 0 {
			return 0, errno
		}
		switch {
		case n > 0:
			e.fruitless = 0
		case timeout != 0:
			if e.fruitless++; e.fruitless == patience {
				e.fruitless = 0
				e.Release()
			}
		}
		return int(n), 0
	}
	began := time.Now()
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(timeout), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	if time.Since(began) < Short {
		e.Hold()
	}
	return int(n), 0
}
