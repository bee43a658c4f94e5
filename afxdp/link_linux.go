package afxdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// linkFacts are what a port needs to know about its interface.
type linkFacts struct {
	index    int
	station  [6]byte // its Ethernet address
	mtu      int     // octets
	up       bool
	rxQueues int // in use
	txQueues int
}

// queues is how many queues can have a socket: it takes from one and sends to
// the other of the same number.
func (l *linkFacts) queues() int { return min(l.rxQueues, l.txQueues) }

// sameAs tells whether program and sockets made for l serve the interface that m
// describes.
func (l *linkFacts) sameAs(m *linkFacts) bool {
	return l.index == m.index && l.station == m.station && l.mtu == m.mtu && l.rxQueues == m.rxQueues && l.txQueues == m.txQueues
}

// readLink looks an interface up, and says why it cannot be used.
func readLink(name string) (*linkFacts, error) {
	rib, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(rib)
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces: %w", err)
	}
	var l *linkFacts
	vlans := make(map[int]string) // the VLAN device on top of each interface
	for i := range messages {
		if messages[i].Header.Type != unix.RTM_NEWLINK || len(messages[i].Data) < unix.SizeofIfInfomsg {
			continue
		}
		found, err := readLinkMessage(&messages[i], name, vlans)
		if err != nil {
			return nil, err
		}
		if found != nil {
			l = found
		}
	}
	if l == nil {
		return nil, errors.New("there is no such interface")
	}
	if vlan := vlans[l.index]; vlan != "" && stripsVLAN(name) {
		return nil, fmt.Errorf("the driver takes VLAN tags off (rxvlan), so that queries of %s could not be told apart; ethtool -K %s rxvlan off", vlan, name)
	}
	l.channels(name)
	return l, nil
}

// readLinkMessage reads one interface of the list (rtnetlink(7)); nil when it is
// not the one named.
func readLinkMessage(m *syscall.NetlinkMessage, name string, vlans map[int]string) (*linkFacts, error) {
	head := (*unix.IfInfomsg)(unsafe.Pointer(&m.Data[0]))
	attrs, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces: %w", err)
	}
	l := &linkFacts{index: int(head.Index), up: head.Flags&unix.IFF_UP != 0, rxQueues: 1, txQueues: 1}
	var label, kind string
	var station []byte
	lower := 0
	for _, a := range attrs {
		number := func() int {
			if len(a.Value) < 4 {
				return 0
			}
			return int(binary.NativeEndian.Uint32(a.Value))
		}
		switch a.Attr.Type {
		case unix.IFLA_IFNAME:
			label = unix.ByteSliceToString(a.Value)
		case unix.IFLA_ADDRESS:
			station = a.Value
		case unix.IFLA_MTU:
			l.mtu = number()
		case unix.IFLA_LINK:
			lower = number()
		case unix.IFLA_NUM_RX_QUEUES:
			l.rxQueues = number()
		case unix.IFLA_NUM_TX_QUEUES:
			l.txQueues = number()
		case unix.IFLA_LINKINFO:
			kind = linkKind(a.Value)
		}
	}
	if kind == "vlan" {
		vlans[lower] = label
	}
	if label != name {
		return nil, nil
	}
	if head.Type != unix.ARPHRD_ETHER || len(station) != len(l.station) {
		return nil, errors.New("it is not an Ethernet interface")
	}
	copy(l.station[:], station)
	return l, nil
}

// linkKind is the IFLA_INFO_KIND nested in IFLA_LINKINFO, such as "vlan".
func linkKind(b []byte) string {
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return ""
		}
		if binary.NativeEndian.Uint16(b[2:]) == unix.IFLA_INFO_KIND {
			return unix.ByteSliceToString(b[unix.SizeofRtAttr:n])
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return ""
}

// channels reads how many queues are in use (ETHTOOL_GCHANNELS, struct
// ethtool_channels of linux/ethtool.h). A driver that does not tell uses what it has.
func (l *linkFacts) channels(name string) {
	c := struct{ cmd, maxRx, maxTx, maxOther, maxCombined, rx, tx, other, combined uint32 }{cmd: unix.ETHTOOL_GCHANNELS}
	if ethtool(name, unsafe.Pointer(&c)) != nil {
		return
	}
	if rx, tx := int(c.rx+c.combined), int(c.tx+c.combined); rx > 0 && tx > 0 {
		l.rxQueues, l.txQueues = rx, tx
	}
}

// stripsVLAN tells whether the driver keeps VLAN tags apart from the frames
// (ETHTOOL_GFLAGS, ETH_FLAG_RXVLAN), where the program cannot see them.
func stripsVLAN(name string) bool {
	const flagRxVLAN = 1 << 8
	v := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_GFLAGS}
	return ethtool(name, unsafe.Pointer(&v)) == nil && v.data&flagRxVLAN != 0
}

// ethtool makes one request of linux/ethtool.h.
func ethtool(name string, request unsafe.Pointer) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var r struct { // struct ifreq of netdevice(7)
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(r.name[:unix.IFNAMSIZ-1], name)
	r.data = request
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return errno
	}
	return nil
}

// localAddresses are the addresses of this machine that are among those served.
// An address that is served but not local is somebody else's: its frames are
// passed on.
func localAddresses(served []netip.AddrPort) (map[netip.AddrPort]bool, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("listing the local addresses: %w", err)
	}
	want := make(map[netip.AddrPort]bool)
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		if ip = ip.Unmap(); !ok || ip.IsLoopback() {
			continue
		}
		for _, s := range served {
			if at := s.Addr().WithZone("").Unmap(); at == ip || at.IsUnspecified() && at.Is4() == ip.Is4() {
				want[netip.AddrPortFrom(ip, s.Port())] = true
			}
		}
	}
	return want, nil
}
