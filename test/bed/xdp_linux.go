package bed

import (
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TakesXDP has an interface of a namespace, one end of a veth, do what the driver of a card
// does for an XDP program at the other end: it takes frames from XDP_TX only if it has a
// program itself, and it would hand over unfinished checksums.
func TakesXDP(t testing.TB, ns, name string) {
	t.Helper()
	Inside(t, ns, func() {
		prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "Apache-2.0", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}}) // XDP_PASS
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { prog.Close() })
		leg, err := netlink.LinkByName(name)
		if err != nil {
			t.Error(err)
			return
		}
		at, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: leg.Attrs().Index, Flags: link.XDPDriverMode})
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { at.Close() })
		checksumsOff(t, name)
	})
}

// checksumsOff has an interface finish the checksums of what it sends (ETHTOOL_STXCSUM).
func checksumsOff(t testing.TB, name string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer unix.Close(fd)
	value := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_STXCSUM}
	var r struct { // struct ifreq of netdevice(7)
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(r.name[:], name)
	r.data = unsafe.Pointer(&value)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))); errno != 0 {
		t.Errorf("switching checksums of %s off: %v", name, errno)
	}
}
