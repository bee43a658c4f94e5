package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gslb/balancer/kernel"
)

// layout is part of the folder's name: a process with other structures does not
// take over what it would misread. It goes up with each change of program/maps.h but
// for maps that are added, which are made anew where they are not there.
const layout = 1

// pinFolder is where maps and links are pinned that are to outlive the process.
func pinFolder(opts kernel.Options, mode string) string {
	node := strings.Map(func(r rune) rune {
		if r == '/' || r == '.' || r == 0 {
			return '_'
		}
		return r
	}, opts.Node)
	root := opts.BPFFS
	if root == "" {
		root = "/sys/fs/bpf"
	}
	return filepath.Join(root, fmt.Sprintf("gslb-%s-%s-%d", node, mode, layout))
}

// takeLinks moves what processes with other layouts have left to the folder of this one: their
// links, so that the program there is replaced and does not stay in front of this one's. Their
// maps are unpinned: flows go on where the hash has them.
func (e *engine) takeLinks() error {
	root, own := filepath.Split(e.pins)
	folders, err := os.ReadDir(root)
	if err != nil {
		return nil // none, or no BPF file system
	}
	prefix := strings.TrimSuffix(own, strconv.Itoa(layout))
	var faults []error
	for _, f := range folders {
		number, ours := strings.CutPrefix(f.Name(), prefix)
		if _, err := strconv.ParseUint(number, 10, 32); !ours || err != nil || f.Name() == own {
			continue
		}
		from := filepath.Join(root, f.Name())
		pinned, err := os.ReadDir(from)
		faults = append(faults, err, os.MkdirAll(e.pins, 0o700))
		for _, p := range pinned {
			at, to := filepath.Join(from, p.Name()), filepath.Join(e.pins, p.Name())
			if _, err := os.Stat(to); strings.HasPrefix(p.Name(), "link-") && err != nil {
				faults = append(faults, os.Rename(at, to))
			} else {
				faults = append(faults, os.Remove(at))
			}
		}
		faults = append(faults, os.Remove(from))
	}
	return errors.Join(faults...)
}

// readPins opens the maps that a process before pinned; none if there are none.
func (e *engine) readPins() (map[string]*ebpf.Map, error) {
	files, err := os.ReadDir(e.pins)
	if err != nil {
		return nil, nil // none, or no BPF file system
	}
	found := map[string]*ebpf.Map{}
	for _, f := range files {
		name, isMap := strings.CutPrefix(f.Name(), "map-")
		if !isMap {
			continue
		}
		m, err := ebpf.LoadPinnedMap(filepath.Join(e.pins, f.Name()), nil)
		if err != nil {
			for _, m := range found {
				m.Close()
			}
			return nil, errors.Join(fmt.Errorf("opening %s: %w", f.Name(), err), e.unpin())
		}
		found[name] = m
	}
	return found, nil
}

// adopt opens the link that a process before left at an interface; nil if there is none.
func (e *engine) adopt(name string, l netlink.Link) link.Link {
	if err := e.takeLinks(); err != nil {
		e.log.Warn("balancer: what a process of another version left in the kernel is not taken over", "error", err)
	}
	at := filepath.Join(e.pins, "link-"+name)
	old, err := link.LoadPinnedLink(at, nil)
	if err != nil {
		return nil
	}
	info, err := old.Info()
	if err != nil || indexOf(info) != l.Attrs().Index {
		_ = old.Unpin() // of an interface that is not there any more
		_ = old.Close()
		return nil
	}
	return old
}

func indexOf(info *link.Info) int {
	if x := info.XDP(); x != nil {
		return int(x.Ifindex)
	}
	if x := info.TCX(); x != nil {
		return int(x.Ifindex)
	}
	return 0
}

// pin leaves maps and links for the next process.
func (e *engine) pin() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(e.pins), &fs); err != nil || fs.Type != unix.BPF_FS_MAGIC {
		return fmt.Errorf("forwarding ends with this process: %s is no BPF file system (mount -t bpf bpf %[1]s)", filepath.Dir(e.pins))
	}
	if err := os.MkdirAll(e.pins, 0o700); err != nil {
		return fmt.Errorf("forwarding ends with this process: %w", err)
	}
	for name, m := range e.programs.maps {
		if m.IsPinned() {
			continue
		}
		if err := m.Pin(filepath.Join(e.pins, "map-"+name)); err != nil {
			return fmt.Errorf("forwarding ends with this process: pinning %s: %w", name, err)
		}
	}
	for name, a := range e.attached {
		at := filepath.Join(e.pins, "link-"+name)
		if _, err := os.Stat(at); err == nil {
			continue // taken over, and pinned still
		}
		if err := a.link.Pin(at); err != nil {
			return fmt.Errorf("forwarding ends with this process: pinning the link of %s: %w", name, err)
		}
	}
	return nil
}

// keeping pins what is new, if everything is to outlive the process. Under mu.
func (e *engine) keeping() {
	if e.keep {
		e.unkept = e.pin()
	}
}

// Keep pins what there is, or takes the pins away; before the first Apply that is left to it.
func (e *engine) Keep(keep bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if keep == e.keep {
		return
	}
	e.keep = keep
	switch {
	case keep && e.services != nil:
		e.keeping()
	case !keep:
		if e.unkept = e.release(); e.unkept != nil {
			e.unkept = fmt.Errorf("forwarding may outlive this process: %w", e.unkept)
		}
	}
}

// release takes the pins away; what is in force stays so while this process is there. Under mu.
func (e *engine) release() error {
	var faults []error
	for _, m := range e.programs.maps {
		faults = append(faults, m.Unpin())
	}
	for _, a := range e.attached {
		faults = append(faults, a.link.Unpin())
	}
	return errors.Join(append(faults, e.unpin())...)
}

// unpin takes away what is pinned.
func (e *engine) unpin() error {
	taken := e.takeLinks()
	files, err := os.ReadDir(e.pins)
	if err != nil {
		return taken
	}
	faults := []error{taken}
	for _, f := range files {
		faults = append(faults, os.Remove(filepath.Join(e.pins, f.Name())))
	}
	return errors.Join(append(faults, os.Remove(e.pins))...)
}
