package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The ways in which the program can be attached.
const (
	modeTCX = "tcx"
	modeXDP = "xdp"
)

// attachment is the program of one interface in force.
type attachment struct {
	name    string
	index   int
	station [6]byte
	generic error // why the driver does not run it, and the network stack does; nil: it does, or it is TCX
	link    link.Link
	prog    *ebpf.Program
}

// fits tells whether the attachment is that of the interface as it is now.
func (a *attachment) fits(l netlink.Link) bool {
	return a.index == l.Attrs().Index && a.station == [6]byte(l.Attrs().HardwareAddr)
}

// attach puts the program in force at an interface. old, if not nil, is what is
// in force there: it is replaced without a gap.
func (p *programs) attach(mode string, l netlink.Link, old link.Link) (*attachment, error) {
	at := l.Attrs()
	if len(at.HardwareAddr) != 6 {
		return nil, fmt.Errorf("interface %s is not Ethernet", at.Name)
	}
	a := &attachment{name: at.Name, index: at.Index, station: [6]byte(at.HardwareAddr)}
	c := constant{station: a.station, link: uint32(at.Index)}
	var err error
	c.generic = old != nil && at.Xdp != nil && at.Xdp.AttachMode == nl.XDP_ATTACHED_SKB
	if mode == modeTCX {
		err = p.attachTCX(a, c, old)
	} else {
		err = p.attachXDP(a, c, old)
	}
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", at.Name, err)
	}
	return a, nil
}

func (p *programs) attachTCX(a *attachment, c constant, old link.Link) (err error) {
	if a.prog, err = p.load("dsr_tcx", c); err != nil {
		return err
	}
	if old != nil {
		a.link, err = old, old.Update(a.prog)
	} else {
		a.link, err = link.AttachTCX(link.TCXOptions{Interface: a.index, Program: a.prog, Attach: ebpf.AttachTCXIngress, Anchor: link.Head()})
	}
	if err != nil {
		a.prog.Close()
		return fmt.Errorf("attaching to the network stack's ingress (TCX, Linux 6.6): %w", explain(err))
	}
	return nil
}

// attachXDP attaches to the driver, or, where that cannot run it, to the network stack.
func (p *programs) attachXDP(a *attachment, c constant, old link.Link) (err error) {
	if old != nil {
		if c.generic {
			a.generic = errors.New("it did not when the process before this one attached it")
		}
		if a.prog, err = p.load("dsr_xdp", c); err != nil {
			return err
		}
		if a.link, err = old, old.Update(a.prog); err != nil {
			a.prog.Close()
			return fmt.Errorf("replacing the XDP program: %w", explain(err))
		}
		return nil
	}
	for _, flags := range []link.XDPAttachFlags{link.XDPDriverMode, link.XDPGenericMode} {
		c.generic = flags == link.XDPGenericMode
		if a.prog, err = p.load("dsr_xdp", c); err != nil {
			return err
		}
		if a.link, err = link.AttachXDP(link.XDPOptions{Program: a.prog, Interface: a.index, Flags: flags}); err == nil {
			return nil
		}
		a.prog.Close()
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
			return errors.New("another XDP program is attached to the interface already")
		}
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || c.generic {
			return fmt.Errorf("attaching the XDP program: %w", explain(err))
		}
		a.generic = err
	}
	return nil
}

// close ends what is in force, unless its link is pinned.
func (a *attachment) close() error {
	return errors.Join(a.link.Close(), a.prog.Close())
}

// detach ends it, pinned or not.
func (a *attachment) detach() error {
	return errors.Join(a.link.Unpin(), a.close())
}
