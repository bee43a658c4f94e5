package balancer

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of a loop. None of them waits, so that the scheduler need not
// be told: that costs more than some of them do.

func receive(fd int32, b []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func transmit(fd int32, b []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func splice(from, to int32, most int) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(most), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func closeFD(fd int32) { unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// resetFD closes a socket with RST instead of FIN.
func resetFD(fd int32) {
	now := unix.Linger{Onoff: 1}
	unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&now)), unsafe.Sizeof(now), 0)
	closeFD(fd)
}

func setOption(fd int32, level, name int, value int32) syscall.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&value)), 4, 0)
	return errno
}

// socketError returns the error that a socket has come to, and clears it.
func socketError(fd int32) syscall.Errno {
	var value, size int32 = 0, 4
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR, uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return syscall.Errno(value)
}

// putAddress writes ap as the system has it, and returns its size and family.
func putAddress(raw *unix.RawSockaddrInet6, ap netip.AddrPort) (uint32, int) {
	addr := ap.Addr().Unmap()
	port := ap.Port()<<8 | ap.Port()>>8
	if addr.Is4() {
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(raw)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port, Addr: addr.As4()}
		return unix.SizeofSockaddrInet4, unix.AF_INET
	}
	*raw = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port, Addr: addr.As16(), Scope_id: scopeOf(addr.Zone())}
	return unix.SizeofSockaddrInet6, unix.AF_INET6
}

// readAddress is the opposite of putAddress.
func readAddress(raw *unix.RawSockaddrInet6) netip.AddrPort {
	port := raw.Port<<8 | raw.Port>>8
	if raw.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(raw)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(raw.Addr).Unmap(), port)
}

func scopeOf(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index)
	}
	return 0
}

// localAddress is where the client of a socket connected to.
func localAddress(fd int32) netip.AddrPort {
	var raw unix.RawSockaddrInet6
	size := uint32(unsafe.Sizeof(raw))
	unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&size)))
	return readAddress(&raw)
}

// ephemeral are the ports that connects may get, both included.
var ephemeral = sync.OnceValue(func() [2]uint16 {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) != 2 {
		return [2]uint16{1, 65535}
	}
	low, _ := strconv.ParseUint(fields[0], 10, 16)
	high, _ := strconv.ParseUint(fields[1], 10, 16)
	return [2]uint16{uint16(low), uint16(high)}
})

func portIsEphemeral(port uint16) bool {
	r := ephemeral()
	return port >= r[0] && port <= r[1]
}

// unsentFD returns how many bytes written to a socket its peer has not acknowledged.
func unsentFD(fd int32) int {
	n, _ := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	return n
}

// acknowledgedFD returns how many bytes of a socket its peer has acknowledged so far.
func acknowledgedFD(fd int32) uint64 {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return info.Bytes_acked
}
