package bpf

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"gslb/balancer/kernel"
)

// engine is a kernel.Engine. What it keeps is what the maps have.
type engine struct {
	mode     string
	log      *slog.Logger
	pins     string // folder for what outlives the process
	keep     bool   // guarded by mu; what is in the kernel outlives the process
	programs *programs
	hops     *hops
	ended    chan struct{} // closed by Close
	watcher  sync.WaitGroup

	mu            sync.Mutex
	attached      map[string]*attachment    // guarded by mu; by interface
	services      []kernel.Service          // guarded by mu; as of the last Apply
	places                                  // guarded by mu
	unclear       map[netip.Addr]string     // guarded by mu; servers whose way is not known, and why
	refusedBefore map[string]kernel.Refused // guarded by mu; by service, of VIPs that are gone
	trouble       error                     // guarded by mu; of the last look at interfaces and neighbours
	unkept        error                     // guarded by mu; why it does not outlive the process, though it should

	attempts kernel.Attempts[attempt] // guarded by mu
	failed   map[uint32]int64         // guarded by mu; connects, by the server's serial
}

func open(mode string, opts kernel.Options) (kernel.Engine, error) {
	e := &engine{mode: mode, log: opts.Log, pins: pinFolder(opts, mode), ended: make(chan struct{}), attached: map[string]*attachment{}, refusedBefore: map[string]kernel.Refused{}}
	kept, err := e.readPins()
	if err != nil {
		e.log.Warn("balancer: what a process before left in the kernel is not taken over", "error", err)
	}
	if e.programs, err = newPrograms(sizes{flows4Size, flows6Size}, kept); err != nil {
		return nil, err
	}
	if e.places, err = readPlaces(e.programs.maps, len(kept) > 0); err != nil {
		e.programs.close()
		return nil, err
	}
	if e.hops, err = newHops(); err != nil {
		e.programs.close()
		return nil, err
	}
	e.watcher.Go(e.watch)
	return e, nil
}

func (e *engine) Slots(int) int { return slots }

// Apply writes what makes things possible before what uses it, and takes away
// last: servers, then tables, then VIPs; states that end flows after the tables
// in which their servers are not any more.
func (e *engine) Apply(services []kernel.Service) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen, err := e.hops.survey()
	if err != nil {
		return err
	}
	next, err := e.places.plan(services)
	if err != nil {
		return err
	}
	if err := e.attach(services, seen); err != nil {
		return err
	}
	e.keeping()
	e.resolve(next.servers, seen)
	for key, s := range next.servers {
		if old := e.places.servers[key]; old == nil || s.value.State == stateUp {
			if err := e.write(old, s); err != nil {
				return err
			}
		}
	}
	for key, t := range next.tables {
		if old := e.places.tables[key]; old == nil || *old.slots != *t.slots {
			if err := e.programs.putTable(t); err != nil {
				return err
			}
		}
	}
	if err := e.putLists(&next); err != nil {
		return err
	}
	if err := e.putVIPs(next); err != nil {
		return err
	}
	for key, s := range next.servers {
		if s.value.State != stateUp {
			if err := e.write(e.places.servers[key], s); err != nil {
				return err
			}
		}
	}
	gone := e.places
	e.places, e.services = next, services
	return e.sweep(gone)
}

// write puts a server in its map if that is something new. A new one's counters start at 0.
func (e *engine) write(old, s *serverPlace) error {
	if old != nil && old.value == s.value {
		return nil
	}
	if old == nil {
		if err := e.programs.clearCounts("server_counts", s.index); err != nil {
			return err
		}
	}
	if err := e.programs.maps["servers"].Put(s.index, s.value); err != nil {
		return fmt.Errorf("writing a server: %w", err)
	}
	return nil
}

func (e *engine) putVIPs(next places) error {
	for key, v := range next.vips {
		old := e.places.vips[key]
		if old == nil {
			if err := e.programs.clearCounts("vip_counts", v.value.Index); err != nil {
				return err
			}
			if err := e.programs.clearRefused(v.value.Index); err != nil {
				return err
			}
		}
		if v.value.Flags&guarded != 0 && (old == nil || old.guard != v.guard) {
			if err := e.programs.maps["guards"].Put(v.value.Index, v.guard); err != nil {
				return fmt.Errorf("writing who may have new flows of a virtual address: %w", err)
			}
		}
		if old != nil && old.value == v.value {
			continue
		}
		if err := e.programs.maps["vips"].Put(key, v.value); err != nil {
			return fmt.Errorf("writing a virtual address: %w", err)
		}
		if err := e.programs.maps["vips"].Put(vipKey{Address: key.Address}, vipValue{}); err != nil {
			return fmt.Errorf("writing a virtual address: %w", err)
		}
	}
	return nil
}

// sweep takes out what places had and the present ones do not.
func (e *engine) sweep(before places) error {
	var faults []error
	still := map[address]bool{}
	for key := range e.vips {
		still[key.Address] = true
	}
	for key, v := range before.vips {
		if e.vips[key] == nil {
			faults = append(faults, e.programs.remove("vips", key))
			r, err := e.programs.readRefused(v.value.Index)
			e.refusedBefore[v.service] = addRefused(e.refusedBefore[v.service], r)
			faults = append(faults, err)
		}
		if !still[key.Address] {
			faults = append(faults, e.programs.remove("vips", vipKey{Address: key.Address}))
		}
	}
	for key, t := range before.tables {
		if e.tables[key] == nil {
			faults = append(faults, e.programs.remove("tables", t.index))
		}
	}
	used := map[uint32]bool{}
	for _, s := range e.servers {
		used[s.index] = true
	}
	for _, s := range slices.Concat(slices.Collect(maps.Values(before.servers)), slices.Collect(maps.Values(before.leftServers))) {
		if !used[s.index] {
			faults = append(faults, e.programs.maps["servers"].Put(s.index, serverValue{}))
		}
	}
	return errors.Join(append(faults, e.sweepLists(&before)...)...)
}

// attach puts the program in force at the interfaces of services, and ends it at
// others. What is in force where it stays is left alone. Under mu.
func (e *engine) attach(services []kernel.Service, seen *survey) error {
	want, err := e.wanted(services, seen)
	if err != nil {
		return err
	}
	var made []*attachment
	for name, l := range want {
		old := e.attached[name]
		if old != nil && old.fits(l) {
			continue
		}
		a, err := e.programs.attach(e.mode, l, e.adopt(name, l))
		if err != nil {
			for _, a := range made {
				e.log.Warn("balancer: detached again", "interface", a.name, "error", a.detach())
				delete(e.attached, a.name)
			}
			return err
		}
		if old != nil {
			_ = old.detach() // its interface has gone, or has another address
		}
		e.attached[name] = a
		made = append(made, a)
		e.log.Info("balancer: direct server return by eBPF is in force", "interface", name, "mode", e.mode, "generic", a.generic)
	}
	for name, a := range e.attached {
		if want[name] == nil {
			delete(e.attached, name)
			if err := a.detach(); err != nil {
				e.log.Warn("balancer: the program may be attached still", "interface", name, "error", err)
			}
		}
	}
	return nil
}

// wanted are the interfaces of services. One that is named and is not there is an error. A
// service that has left keeps those that there are: packets of its flows come by them.
func (e *engine) wanted(services []kernel.Service, seen *survey) (map[string]netlink.Link, error) {
	byName := map[string]netlink.Link{}
	for _, l := range seen.links {
		byName[l.Attrs().Name] = l
	}
	want := map[string]netlink.Link{}
	for _, s := range services {
		for _, name := range s.Interfaces {
			if byName[name] == nil {
				return nil, fmt.Errorf("interface %q: there is none; there are %q", name, slices.Sorted(maps.Keys(byName)))
			}
			want[name] = byName[name]
		}
		if len(s.Interfaces) > 0 {
			continue
		}
		if len(s.Listen) == 0 {
			for name := range e.attached {
				if l := byName[name]; l != nil {
					want[name] = l
				}
			}
		}
		var addrs []netip.Addr
		for _, v := range s.Listen {
			addrs = append(addrs, v.Addr())
		}
		found, err := e.hops.facing(seen, addrs)
		if err != nil {
			return nil, err
		}
		maps.Copy(want, found)
	}
	return want, nil
}

// resolve fills in the ways to servers. Under mu.
func (e *engine) resolve(servers map[serverKey]*serverPlace, seen *survey) {
	e.unclear = map[netip.Addr]string{}
	found := map[netip.Addr]hop{}
	now := time.Now()
	for key, s := range servers {
		to := key.addr.Addr()
		h, ok := found[to]
		if !ok {
			h = e.hops.find(seen, to, now)
			found[to] = h
		}
		why := h.why
		if why == "" && s.value.Forward == forwardLayer2 && h.routed {
			why = "it is behind a router: that needs a tunnel"
		}
		if why != "" {
			e.unclear[to] = why
		}
		s.value.goBy(h, why == "")
	}
}

// goBy makes the value's way h. The last station that was known is kept: it may be
// right still, and without it nothing goes.
func (v *serverValue) goBy(h hop, known bool) {
	if h.link == 0 || !known && v.Resolved == 1 && h.station == [6]byte{} {
		return
	}
	v.Link, v.Source, v.MTU, v.Station, v.Resolved = h.link, h.source, h.mtu, h.station, 0
	if known {
		v.Resolved = 1
	}
	if v.Forward != forwardLayer2 && h.from.IsValid() {
		v.From = addressOf(h.from)
	}
}

// watch follows interfaces and neighbours until the engine is closed.
func (e *engine) watch() {
	const every = time.Second
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-e.ended:
			return
		case <-ticker.C:
		case _, ok := <-e.hops.updates:
			if !ok { // the subscription has broken: the ticker does
				e.hops.updates = nil
			}
			drained(e.hops.updates)
		}
		e.refresh()
	}
}

// drained takes what is there already, so that many changes cost one look.
func drained[T any](c <-chan T) {
	for {
		select {
		case _, ok := <-c:
			if !ok {
				return
			}
		default:
			return
		}
	}
}

func (e *engine) refresh() {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen, err := e.hops.survey()
	if err == nil && len(e.services) > 0 {
		err = e.attach(e.services, seen)
		e.keeping()
	}
	if err != nil {
		if e.trouble == nil || e.trouble.Error() != err.Error() {
			e.log.Error("balancer: direct server return by eBPF", "error", err)
		}
		e.trouble = err
		return
	}
	e.trouble = nil
	next := map[serverKey]*serverPlace{}
	for key, s := range e.servers {
		copied := *s
		next[key] = &copied
	}
	e.resolve(next, seen)
	for key, s := range next {
		if err := e.write(e.servers[key], s); err != nil {
			e.trouble = err
			return
		}
		*e.servers[key] = *s
	}
}

// Problems implements kernel.Engine.
func (e *engine) Problems() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	if e.trouble != nil {
		out = append(out, e.trouble.Error())
	}
	if e.unkept != nil {
		out = append(out, e.unkept.Error())
	}
	for _, a := range slices.SortedFunc(maps.Keys(e.unclear), netip.Addr.Compare) {
		out = append(out, fmt.Sprintf("server %s: %s", a, e.unclear[a]))
	}
	for _, name := range slices.Sorted(maps.Keys(e.attached)) {
		if why := e.attached[name].generic; why != nil {
			out = append(out, fmt.Sprintf("interface %s: its driver does not run XDP programs (%v); the network stack does, which is slower than mode \"tcx\"", name, why))
		}
	}
	return out
}

// Close implements kernel.Engine.
func (e *engine) Close(keep bool) error {
	close(e.ended)
	e.watcher.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	var err error
	if keep {
		err = e.pin()
	}
	for _, a := range e.attached {
		if keep && err == nil {
			err = errors.Join(err, a.close())
		} else {
			err = errors.Join(err, a.detach())
		}
	}
	if !keep {
		err = errors.Join(err, e.unpin())
	}
	e.programs.close()
	e.hops.close()
	return err
}
