package bpf

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"gslb/balancer/kernel"
)

// XDP runs the program in the driver.
var XDP = kernel.Way{Name: modeXDP, Can: can(modeXDP), Suits: suitsXDP, Open: opener(modeXDP), Tunnels: true, Sweep: sweeper(modeXDP)}

// TCX runs it in the network stack's ingress.
var TCX = kernel.Way{Name: modeTCX, Can: can(modeTCX), Open: opener(modeTCX), Tunnels: true, Sweep: sweeper(modeTCX)}

func opener(mode string) func(kernel.Options) (kernel.Engine, error) {
	return func(opts kernel.Options) (kernel.Engine, error) { return open(mode, opts) }
}

// sweeper ends what a process left that forwards by a table that nobody changes any more: it
// would take the packets of a program behind it.
func sweeper(mode string) func(kernel.Options) error {
	return func(opts kernel.Options) error { return (&engine{pins: pinFolder(opts, mode)}).unpin() }
}

// can loads the program, with maps as small as can be, and for TCX attaches an
// empty one to lo for a moment.
func can(mode string) func(kernel.Options) error {
	return func(kernel.Options) error {
		p, err := newPrograms(sizes{1, 1}, nil)
		if err != nil {
			return err
		}
		defer p.close()
		prog, err := p.load("dsr_"+mode, constant{})
		if err != nil {
			return err
		}
		defer prog.Close()
		if mode == modeXDP {
			return nil
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("looking up lo: %w", err)
		}
		nothing, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, AttachType: ebpf.AttachTCXIngress, License: "Apache-2.0",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()}})
		if err != nil {
			return fmt.Errorf("loading a program for TCX: %w", explain(err))
		}
		defer nothing.Close()
		at, err := link.AttachTCX(link.TCXOptions{Interface: lo.Attrs().Index, Program: nothing, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return fmt.Errorf("attaching to the network stack's ingress (TCX, Linux 6.6): %w", explain(err))
		}
		return at.Close()
	}
}

// suitsXDP tells why XDP is not what somebody who did not ask for it wants: it is
// faster where a network card's driver runs it, and nowhere else.
func suitsXDP(opts kernel.Options) error {
	if len(opts.Interfaces) == 0 {
		return errors.New("no interfaces are named, and an XDP program is put on none unasked")
	}
	p, err := newPrograms(sizes{1, 1}, nil)
	if err != nil {
		return err
	}
	defer p.close()
	for _, name := range opts.Interfaces {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("interface %q: %w", name, err)
		}
		if l.Type() != "device" { // what has a kind is made by software
			return fmt.Errorf("interface %s is not a network card (%s)", name, l.Type())
		}
		a, err := p.attach(modeXDP, l, nil)
		if err != nil {
			return err
		}
		if err := a.detach(); err != nil && opts.Log != nil {
			opts.Log.Warn("balancer: the program may be attached still", "interface", name, "error", err, slog.String("mode", modeXDP))
		}
		if a.generic != nil {
			return fmt.Errorf("interface %s: its driver does not run XDP programs: %w", name, a.generic)
		}
	}
	return nil
}
