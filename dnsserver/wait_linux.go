package dnsserver

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gslb/waits"
)

// batchSocket is a UDP socket that a goroutine waits at by itself, without the
// runtime's poller. Under load it waits in recvmmsg(2) and keeps its P (waits); the
// socket has a time-out, so that a signal ends the wait (signal(7)).
type batchSocket struct {
	waits.Holder
	fd      int
	wake    int // eventfd that ends the wait of an idle worker
	stopped atomic.Bool
}

// newBatchSocket takes c's socket over from the runtime's poller, and closes c.
func newBatchSocket(c *net.UDPConn) (*batchSocket, error) {
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	b := &batchSocket{fd: -1, wake: -1}
	err = raw.Control(func(fd uintptr) {
		// Closing c takes the old descriptor out of the poller's set, and not the new one in.
		b.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil && b.fd < 0 {
		err = fmt.Errorf("cannot duplicate a socket: out of file descriptors?")
	}
	if err == nil {
		err = unix.SetNonblock(b.fd, false)
	}
	if err == nil {
		tv := unix.NsecToTimeval(int64(waits.Short))
		err = os.NewSyscallError("SO_RCVTIMEO", unix.SetsockoptTimeval(b.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
	}
	if err == nil {
		b.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	}
	if err != nil {
		b.free()
		return nil, err
	}
	return b, nil
}

// stop makes the worker end: at once when it is idle, within waits.Short otherwise.
func (b *batchSocket) stop() {
	b.stopped.Store(true)
	one := [8]byte{1}
	_, _ = unix.Write(b.wake, one[:])
}

// free closes the socket; no worker may be at it.
func (b *batchSocket) free() {
	for _, fd := range []*int{&b.fd, &b.wake} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// receive takes as many datagrams as are there, and waits for the first only
// while the worker holds its P. EAGAIN means that it must wait.
func (b *batchSocket) receive(m []mmsghdr) (int, syscall.Errno) {
	flags := uintptr(unix.MSG_DONTWAIT)
	if b.Holding() {
		flags = unix.MSG_WAITFORONE
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), flags, 0, 0)
	return int(n), errno
}

// wait waits until there is something to receive, or stop is called, and lets
// other goroutines have the P.
func (b *batchSocket) wait() {
	b.Release()
	set := [2]unix.PollFd{{Fd: int32(b.fd), Events: unix.POLLIN}, {Fd: int32(b.wake), Events: unix.POLLIN}}
	began := time.Now()
	_, _, _ = unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&set[0])), uintptr(len(set)), 0, 0, 0, 0)
	if time.Since(began) < waits.Short {
		b.Hold()
	}
}

// processCPUs are the CPUs that this process may use.
func processCPUs() []int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	var all []int
	for cpu := range maxCPU + 1 {
		if set.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	return all
}

// pinThread keeps the goroutine on its thread, and the thread on a CPU.
func pinThread(cpu int) error {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &set))
}
