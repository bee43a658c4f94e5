package bpf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hop is the way to a server.
type hop struct {
	link    uint32 // interface
	station [6]byte
	source  [6]byte    // of the interface
	mtu     uint16     // of the interface
	from    netip.Addr // of this machine, for outer headers
	routed  bool       // by a gateway
	why     string     // what is wrong; "": the station is known
}

// hops finds them: by the kernel's routes and its table of neighbours, which it
// keeps busy, as no packet of this machine asks for those that programs send to.
type hops struct {
	handle  *netlink.Handle
	updates chan netlink.NeighUpdate // a neighbour has changed
	done    chan struct{}
	asked   map[neighbour]time.Time // when the kernel was last asked to look
}

type neighbour struct {
	link uint32
	addr netip.Addr
}

const (
	askUnknown = time.Second      // between questions for one that is not known
	askKnown   = 15 * time.Second // and for one that is: within the kernel's shortest time of reachability
)

func newHops() (*hops, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	h := &hops{handle: handle, updates: make(chan netlink.NeighUpdate, 64), done: make(chan struct{}), asked: map[neighbour]time.Time{}}
	if err := netlink.NeighSubscribeWithOptions(h.updates, h.done, netlink.NeighSubscribeOptions{ErrorCallback: func(error) {}}); err != nil {
		handle.Close()
		return nil, fmt.Errorf("subscribing to changes of neighbours: %w", err)
	}
	return h, nil
}

func (h *hops) close() {
	close(h.done)
	h.handle.Close()
}

// survey is the interfaces and neighbours at one time, so that many servers cost one look.
type survey struct {
	links      map[int]netlink.Link
	neighbours map[neighbour]netlink.Neigh
}

func (h *hops) survey() (*survey, error) {
	s := &survey{map[int]netlink.Link{}, map[neighbour]netlink.Neigh{}}
	links, err := h.handle.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("listing the interfaces: %w", err)
	}
	for _, l := range links {
		s.links[l.Attrs().Index] = l
	}
	all, err := h.handle.NeighList(0, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("listing the neighbours: %w", err)
	}
	for _, n := range all {
		if ip, ok := netip.AddrFromSlice(n.IP); ok {
			s.neighbours[neighbour{uint32(n.LinkIndex), ip.Unmap()}] = n
		}
	}
	return s, nil
}

// known are the states in which a neighbour's address is to be believed.
const known = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT | netlink.NUD_NOARP

// find returns the way to a server, and asks the kernel to look for the next hop
// if it does not know it, or has not heard of it for a while.
func (h *hops) find(s *survey, to netip.Addr, now time.Time) hop {
	routes, err := h.handle.RouteGet(to.AsSlice())
	if err != nil || len(routes) == 0 {
		return hop{why: fmt.Sprintf("there is no route to it (%v)", err)}
	}
	r := routes[0]
	link, ok := s.links[r.LinkIndex]
	if !ok {
		return hop{why: "its interface has just gone"}
	}
	attrs := link.Attrs()
	if r.Type == unix.RTN_LOCAL || attrs.Flags&net.FlagLoopback != 0 {
		return hop{why: "it is an address of this machine: with direct server return the balancer is no server"}
	}
	if len(attrs.HardwareAddr) != 6 {
		return hop{why: fmt.Sprintf("its interface %s is not Ethernet", attrs.Name)}
	}
	out := hop{link: uint32(r.LinkIndex), source: [6]byte(attrs.HardwareAddr), mtu: uint16(min(attrs.MTU, 65535))}
	if from, ok := netip.AddrFromSlice(r.Src); ok {
		out.from = from.Unmap()
	}
	next := neighbour{out.link, to}
	if gw, ok := netip.AddrFromSlice(r.Gw); ok && !gw.IsUnspecified() {
		out.routed, next.addr = true, gw.Unmap()
	}
	n, ok := s.neighbours[next]
	ok = ok && n.State&known != 0 && len(n.HardwareAddr) == 6
	if ok {
		out.station = [6]byte(n.HardwareAddr)
	} else {
		out.why = fmt.Sprintf("the Ethernet address of %s at %s is not known: nobody answers for it", next.addr, attrs.Name)
	}
	h.ask(next, ok, now)
	return out
}

// ask has the kernel look for a neighbour: NTF_USE is what a packet to it would do.
func (h *hops) ask(n neighbour, known bool, now time.Time) {
	every := askUnknown
	if known {
		every = askKnown
	}
	if now.Sub(h.asked[n]) < every {
		return
	}
	h.asked[n] = now
	// An error would come back as an address that stays unknown.
	_ = h.handle.NeighSet(&netlink.Neigh{LinkIndex: int(n.link), IP: n.addr.AsSlice(), State: netlink.NUD_NONE, Flags: netlink.NTF_USE})
}

// facing returns the interfaces by which packets for addresses come: those that
// have the address, or its network; else those of the default routes.
func (h *hops) facing(s *survey, addrs []netip.Addr) (map[string]netlink.Link, error) {
	out := map[string]netlink.Link{}
	for _, a := range addrs {
		found := false
		for _, l := range s.links {
			if !ethernet(l) {
				continue
			}
			list, err := h.handle.AddrList(l, netlink.FAMILY_ALL)
			if err != nil {
				return nil, fmt.Errorf("listing the addresses of %s: %w", l.Attrs().Name, err)
			}
			for _, have := range list {
				if have.IPNet.Contains(a.AsSlice()) {
					out[l.Attrs().Name], found = l, true
				}
			}
		}
		if found {
			continue
		}
		family := netlink.FAMILY_V6
		if a.Is4() {
			family = netlink.FAMILY_V4
		}
		routes, err := h.handle.RouteList(nil, family)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return nil, fmt.Errorf("listing the routes: %w", err)
		}
		for _, r := range routes {
			l := s.links[r.LinkIndex]
			if l != nil && ethernet(l) && (r.Dst == nil || r.Dst.IP.IsUnspecified()) {
				out[l.Attrs().Name], found = l, true
			}
		}
		if !found {
			return nil, fmt.Errorf("by which interface packets for %s come cannot be told: no interface has its network, and there is no default route; name it in interfaces", a)
		}
	}
	return out, nil
}

func ethernet(l netlink.Link) bool {
	a := l.Attrs()
	return a.Flags&net.FlagLoopback == 0 && a.Flags&net.FlagUp != 0 && len(a.HardwareAddr) == 6
}
