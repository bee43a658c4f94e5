package bpf

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

//go:embed program.o
var object []byte

// constants is the map that each program has of its own.
const constants = ".rodata"

// programs is the compiled program with its maps, which all interfaces share.
type programs struct {
	spec *ebpf.CollectionSpec
	maps map[string]*ebpf.Map
}

// sizes are how many flows are remembered.
type sizes struct{ flows4, flows6 uint32 }

// newPrograms makes the maps; kept are those of a process before, which are used instead.
func newPrograms(s sizes, kept map[string]*ebpf.Map) (*programs, error) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("reading the compiled program: %w", err)
	}
	spec.Maps["flows4"].MaxEntries, spec.Maps["new4"].MaxEntries = s.flows4, max(1, s.flows4/4)
	spec.Maps["flows6"].MaxEntries, spec.Maps["new6"].MaxEntries = s.flows6, max(1, s.flows6/4)
	spec.Maps["buckets"].MaxEntries = max(1, s.flows4/4)
	p := &programs{spec: spec, maps: map[string]*ebpf.Map{}}
	for name, m := range spec.Maps {
		if name == constants {
			continue
		}
		if old := kept[name]; old != nil {
			p.maps[name] = old
			continue
		}
		made, err := ebpf.NewMap(m)
		if err != nil {
			p.close()
			return nil, fmt.Errorf("making the map %s: %w", name, explain(err))
		}
		p.maps[name] = made
	}
	return p, nil
}

// constant are what is compiled into the program of one interface.
type constant struct {
	station  [6]byte
	link     uint32
	generic  bool
	newFlows uint32 // remembered in about a second, on each CPU; 0: newFlowsMost
}

// load makes the program (dsr_xdp or dsr_tcx) for an interface.
func (p *programs) load(name string, c constant) (*ebpf.Program, error) {
	spec := p.spec.Copy()
	for other := range spec.Programs {
		if other != name {
			delete(spec.Programs, other)
		}
	}
	for variable, value := range map[string]any{
		"station": c.station, "link": c.link, "generic": c.generic, "new_flows_most": cmp.Or(c.newFlows, newFlowsMost),
	} {
		if err := spec.Variables[variable].Set(value); err != nil {
			return nil, fmt.Errorf("setting %s of the program: %w", variable, err)
		}
	}
	all, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: maps.Clone(p.maps)})
	if err != nil {
		return nil, fmt.Errorf("loading the program: %w", explain(err))
	}
	defer all.Close()
	return all.DetachProgram(name), nil
}

// putTable makes a new map of a table and puts it in the old one's place: no packet sees half of each.
func (p *programs) putTable(t *tablePlace) error {
	m, err := ebpf.NewMap(p.spec.Maps["tables"].InnerMap)
	if err != nil {
		return fmt.Errorf("making a table: %w", explain(err))
	}
	defer m.Close()
	if err := m.Put(uint32(0), t.slots); err != nil {
		return fmt.Errorf("filling a table: %w", err)
	}
	if err := p.maps["tables"].Put(t.index, m); err != nil {
		return fmt.Errorf("replacing a table: %w", err)
	}
	return nil
}

// remove deletes a key that may be gone already.
func (p *programs) remove(m string, key any) error {
	if err := p.maps[m].Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("deleting from %s: %w", m, err)
	}
	return nil
}

func (p *programs) clearCounts(m string, index uint32) error {
	n, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	return p.maps[m].Put(index, make([]counts, n))
}

func (p *programs) clearRefused(index uint32) error {
	n, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	return p.maps["refused"].Put(index, make([]refusedValue, n))
}

func (p *programs) readCounts(m string, index uint32) (all counts, err error) {
	var each []counts
	if err := p.maps[m].Lookup(index, &each); err != nil {
		return counts{}, fmt.Errorf("reading counters: %w", err)
	}
	for _, c := range each {
		all.add(c)
	}
	return all, nil
}

func (p *programs) close() {
	for _, m := range slices.Collect(maps.Values(p.maps)) {
		m.Close()
	}
}

// explain says which right an error of the kernel asks for.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w (it needs CAP_NET_ADMIN and CAP_BPF; kernels before 5.11 also a higher RLIMIT_MEMLOCK)", err)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%w (its memory is locked: raise RLIMIT_MEMLOCK, LimitMEMLOCK= of the unit)", err)
	}
	return err
}
