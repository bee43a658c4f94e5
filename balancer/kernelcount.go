package balancer

import (
	"net/netip"
	"slices"
	"time"

	"gslb/balancer/kernel"
)

// count takes over what the engine has counted.
func (k *inKernel) count(begun time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.engine == nil {
		return
	}
	fronts := map[string]*frontend{}
	for _, b := range slices.Concat(k.leaving, k.bindings) { // of two with one name the one that stays
		fronts[b.front.name] = b.front
	}
	found := map[*frontend]map[netip.AddrPort]kernel.Counters{}
	err := k.engine.Count(func(service string, address netip.AddrPort, c kernel.Counters) {
		f := fronts[service]
		if f == nil {
			return
		}
		if found[f] == nil {
			found[f] = map[netip.AddrPort]kernel.Counters{}
		}
		found[f][address] = c
	})
	if err == nil {
		err = k.engine.Refused(func(service string, r kernel.Refused) {
			if f := fronts[service]; f != nil {
				k.takeRefused(f, r)
			}
		})
	}
	if err != nil {
		if k.uncounted == nil {
			k.log.Warn("balancer: cannot count the kernel's connections; will go on trying", "plane", k.name(), "error", err)
		}
		k.uncounted = err
		return
	}
	k.uncounted = nil
	for _, f := range fronts {
		k.take(f, found[f], begun)
	}
	if k.stopped {
		return
	}
	k.leaving = slices.DeleteFunc(k.leaving, func(b binding) bool {
		if k.open[b.front] > 0 {
			return false
		}
		k.forget(b.front)
		return true
	})
	if len(k.bindings)+len(k.leaving) == 0 && k.applied != nil {
		k.close()
	} else if len(k.leaving) > 0 {
		k.apply() // nobody wakes the plane for those
	}
}

// take takes over the counters of all servers of a frontend, as of a time. Under mu.
func (k *inKernel) take(f *frontend, found map[netip.AddrPort]kernel.Counters, asOf time.Time) {
	open := int64(0)
	for _, s := range f.pool.everyone() {
		address, _ := netip.ParseAddrPort(s.address)
		now, was := found[address], k.tallies[s]
		s.open.Add(now.Open - was.Open)
		s.total.Add(now.Connections - was.Connections)
		s.bytesUp.Add(now.BytesUp - was.BytesUp)
		s.bytesDown.Add(now.BytesDown - was.BytesDown)
		f.counters.accepted.Add(now.Connections - was.Connections)
		f.counted(now.Connections - was.Connections)
		if now.Failed > was.Failed {
			f.pool.doubt(s)
		}
		k.tallies[s] = now
		s.asOf.Store(asOf.UnixNano())
		open += now.Open
	}
	f.gate.update(func() { f.gate.open += int(open - k.open[f]) })
	k.open[f] = open
}

// takeRefused takes over who was not admitted. Under mu.
func (k *inKernel) takeRefused(f *frontend, now kernel.Refused) {
	was := k.refused[f]
	f.refusals.denied.Add(max(0, now.Denied-was.Denied)) // a successor, or somebody with nft, may have taken the counters away
	f.refusals.rate.Add(max(0, now.OverRate-was.OverRate))
	f.refusals.count.Add(max(0, now.OverCount-was.OverCount))
	k.refused[f] = now
}

// forget drops what was counted for a frontend: nothing of it is open here any more. Under mu.
func (k *inKernel) forget(f *frontend) {
	for _, s := range f.pool.everyone() {
		s.open.Add(-k.tallies[s].Open)
		s.asOf.Store(0)
		delete(k.tallies, s)
	}
	f.gate.update(func() { f.gate.open -= int(k.open[f]) })
	delete(k.open, f)
	delete(k.refused, f)
	delete(k.slots, f)
}
