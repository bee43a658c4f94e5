package afxdp

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is one of the four rings that the kernel and this process share, with one
// writer and one reader (af_xdp.rst, "Rings"). The process writes the fill and
// transmit rings and reads the other two. T is what lies in it: the address of a
// frame, or a descriptor.
type ring[T uint64 | unix.XDPDesc] struct {
	mem      []byte // the mapping
	producer *uint32
	consumer *uint32
	flags    *uint32
	slots    []T
	mask     uint32

	// next is this side's own index: of the slot to write, or to read, next.
	next uint32
}

// mapRing maps the ring that lies at that page offset of the socket.
func mapRing[T uint64 | unix.XDPDesc](fd int, pageOffset int64, at *unix.XDPRingOffset, n int) (*ring[T], error) {
	var slot T
	size := int(at.Desc) + n*int(unsafe.Sizeof(slot))
	mem, err := unix.Mmap(fd, pageOffset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, err
	}
	word := func(off uint64) *uint32 { return (*uint32)(unsafe.Pointer(&mem[off])) }
	return &ring[T]{
		mem: mem, producer: word(at.Producer), consumer: word(at.Consumer), flags: word(at.Flags),
		slots: unsafe.Slice((*T)(unsafe.Pointer(&mem[at.Desc])), n), mask: uint32(n - 1),
	}, nil
}

// put writes a slot, which the kernel sees after submit. There is always room.
func (r *ring[T]) put(v T) {
	r.slots[r.next&r.mask] = v
	r.next++
}

// submit hands all that was put to the kernel.
func (r *ring[T]) submit() { atomic.StoreUint32(r.producer, r.next) }

// unread is how many of the slots that were submitted the kernel has not taken.
func (r *ring[T]) unread() uint32 { return r.next - atomic.LoadUint32(r.consumer) }

// ready is how many slots the kernel has written that were not taken.
func (r *ring[T]) ready() uint32 { return atomic.LoadUint32(r.producer) - r.next }

// take reads a slot, of those that are ready.
func (r *ring[T]) take() T {
	v := r.slots[r.next&r.mask]
	r.next++
	return v
}

// release gives the slots that were taken back to the kernel.
func (r *ring[T]) release() { atomic.StoreUint32(r.consumer, r.next) }

// sleeps tells whether the kernel waits for a call to go on with the ring
// (XDP_RING_NEED_WAKEUP).
func (r *ring[T]) sleeps() bool { return atomic.LoadUint32(r.flags)&unix.XDP_RING_NEED_WAKEUP != 0 }

func (r *ring[T]) unmap() {
	if r != nil {
		_ = unix.Munmap(r.mem)
	}
}
