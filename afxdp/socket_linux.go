package afxdp

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// chunk is the room for one frame, in octets; the kernel keeps the first
	// XDP_PACKET_HEADROOM of it to itself.
	chunk = 2048
	// frames is how many frames one queue has, and how many slots each of its rings
	// has: what comes while the goroutine is kept from running, for some milliseconds.
	frames = 2048
	// sendBuffer is how much may be on its way to the driver, in octets.
	sendBuffer = 4 << 20
	// maxKick is how many frames one call may send; kernels before 6.17 take 32.
	maxKick = 128
)

// socket is an AF_XDP socket with its own memory for frames (UMEM), bound to one
// queue of an interface.
type socket struct {
	fd       int
	zeroCopy bool
	umem     []byte

	fill     *ring[uint64]       // free frames, for the kernel to receive into
	done     *ring[uint64]       // frames that were sent (completion)
	received *ring[unix.XDPDesc] // queries
	send     *ring[unix.XDPDesc] // answers
}

// openSocket makes and binds a socket. zeroCopy false forbids what generic mode
// cannot do.
func openSocket(index, queue int, zeroCopy bool) (_ *socket, err error) {
	s := new(socket)
	if s.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		if errors.Is(err, unix.EAFNOSUPPORT) {
			return nil, errors.New("the kernel was built without AF_XDP (CONFIG_XDP_SOCKETS)")
		}
		return nil, fmt.Errorf("making an AF_XDP socket: %w", explain(err))
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.umem, err = unix.Mmap(-1, 0, frames*chunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS); err != nil {
		return nil, fmt.Errorf("memory for frames: %w", err)
	}
	_ = unix.Madvise(s.umem, unix.MADV_HUGEPAGE) // a matter of speed alone
	if err = s.rings(); err != nil {
		return nil, err
	}
	for _, o := range []int{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF} {
		if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, o, sendBuffer) == nil {
			break
		}
	}
	_ = unix.SetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, maxKick)
	for i := range frames {
		s.fill.put(uint64(i * chunk))
	}
	s.fill.submit()
	if err = s.bind(index, queue, zeroCopy); err != nil {
		return nil, err
	}
	return s, nil
}

// rings registers the memory and maps all rings.
func (s *socket) rings() (err error) {
	reg := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&s.umem[0]))), Len: uint64(len(s.umem)), Size: chunk}
	// Without Tx_metadata_len, which kernels before 6.8 do not know.
	if err := setsockopt(s.fd, unix.XDP_UMEM_REG, unsafe.Pointer(&reg), unsafe.Offsetof(reg.Tx_metadata_len)); err != nil {
		return fmt.Errorf("registering memory for frames: %w", explain(err))
	}
	for _, o := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING, unix.XDP_TX_RING} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, o, frames); err != nil {
			return fmt.Errorf("making the rings: %w", explain(err))
		}
	}
	var at unix.XDPMmapOffsets
	if err := getsockopt(s.fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&at), unsafe.Sizeof(at)); err != nil {
		return fmt.Errorf("XDP_MMAP_OFFSETS: %w", err)
	}
	if s.fill, err = mapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_FILL_RING, &at.Fr, frames); err != nil {
		return fmt.Errorf("mapping the fill ring: %w", explain(err))
	}
	if s.done, err = mapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, &at.Cr, frames); err != nil {
		return fmt.Errorf("mapping the completion ring: %w", explain(err))
	}
	if s.received, err = mapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_RX_RING, &at.Rx, frames); err != nil {
		return fmt.Errorf("mapping the receive ring: %w", explain(err))
	}
	if s.send, err = mapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_TX_RING, &at.Tx, frames); err != nil {
		return fmt.Errorf("mapping the transmit ring: %w", explain(err))
	}
	return nil
}

// errQueue says that a queue of that number does not exist.
var errQueue = errors.New("the interface has no such queue")

// bind binds to a queue: without copies where the driver can do that, which the
// kernel finds out by itself.
func (s *socket) bind(index, queue int, zeroCopy bool) error {
	flags := uint16(unix.XDP_USE_NEED_WAKEUP)
	if !zeroCopy {
		flags |= unix.XDP_COPY
	}
	err := unix.Bind(s.fd, &unix.SockaddrXDP{Flags: flags, Ifindex: uint32(index), QueueID: uint32(queue)})
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("queue %d: another AF_XDP socket is bound to it", queue)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("queue %d: %w", queue, errQueue)
	case err != nil:
		return fmt.Errorf("binding to queue %d: %w", queue, explain(err))
	}
	var options uint32
	if err := getsockopt(s.fd, unix.XDP_OPTIONS, unsafe.Pointer(&options), unsafe.Sizeof(options)); err == nil {
		s.zeroCopy = options&unix.XDP_OPTIONS_ZEROCOPY != 0
	}
	return nil
}

// lost is how many frames the kernel had no room for.
func (s *socket) lost() uint64 {
	var st unix.XDPStatistics
	if getsockopt(s.fd, unix.XDP_STATISTICS, unsafe.Pointer(&st), unsafe.Sizeof(st)) != nil {
		return 0
	}
	return st.Rx_dropped + st.Rx_ring_full
}

func (s *socket) close() {
	unix.Close(s.fd)
	s.fill.unmap()
	s.done.unmap()
	s.received.unmap()
	s.send.unmap()
	if s.umem != nil {
		_ = unix.Munmap(s.umem)
	}
}

func setsockopt(fd, option int, p unsafe.Pointer, size uintptr) error {
	if _, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(p), size, 0); errno != 0 {
		return errno
	}
	return nil
}

// getsockopt reads at most size octets; older kernels give fewer.
func getsockopt(fd, option int, p unsafe.Pointer, size uintptr) error {
	n := uint32(size)
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(p), uintptr(unsafe.Pointer(&n)), 0); errno != 0 {
		return errno
	}
	return nil
}
