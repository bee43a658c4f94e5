package bpf

import (
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/cilium/ebpf"

	"gslb/balancer/kernel"
	"gslb/networks"
)

// listPlace is the lists of a service's Admission as they are in the map networks. They never
// change: others get another number, and go into force as a whole with it.
type listPlace struct {
	number  uint32
	of      kernel.Admission // its networks
	entries map[networkKey]uint32
}

// addList gives a service's lists their place; those that stay keep it.
func (p *places) addList(before *places, s *kernel.Service) error {
	a := s.Admission
	if a == nil || len(a.Allow)+len(a.Deny)+len(a.Exempt) == 0 {
		return nil
	}
	of := kernel.Admission{Allow: a.Allow, Deny: a.Deny, Exempt: a.Exempt}
	for _, old := range []*listPlace{before.lists[s.Name], before.pending[s.Name]} {
		if old != nil && reflect.DeepEqual(old.of, of) {
			p.lists[s.Name] = old
			return nil
		}
	}
	p.list++
	l := &listPlace{number: p.list, of: of, entries: entriesOf(p.list, &of)}
	p.lists[s.Name] = l
	n := len(l.entries)
	for _, m := range []map[string]*listPlace{before.lists, p.lists} {
		for _, other := range m {
			if other != l {
				n += len(other.entries)
			}
		}
	}
	if n > mostNetworks {
		return fmt.Errorf("frontend %q: allow, deny and network_exempt of all frontends have more than %d networks, with those that they replace", s.Name, mostNetworks)
	}
	return nil
}

// entriesOf resolves lists: of each network that is named, and of each family as a whole,
// what is true of the addresses that no longer one holds.
func entriesOf(list uint32, a *kernel.Admission) map[networkKey]uint32 {
	named := slices.Concat(a.Allow, a.Deny, a.Exempt, []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)})
	may, free := networks.AllowedNetwork(a.Allow, a.Deny), networks.AllowedNetwork(a.Exempt, nil)
	out := make(map[networkKey]uint32, len(named))
	for _, p := range named {
		bits := uint32(p.Bits())
		if p.Addr().Is4() {
			bits += 96
		}
		standing := uint32(0)
		if may(p) {
			standing |= allowed
		}
		if len(a.Exempt) > 0 && free(p) {
			standing |= exempt
		}
		out[networkKey{Length: 32 + bits, List: list, Address: addressOf(p.Masked().Addr())}] = standing
	}
	return out
}

// guardOf is the guard of a service's VIPs of a family.
func (p *places) guardOf(s *kernel.Service, v6 bool) (g guardValue) {
	if l := p.lists[s.Name]; l != nil {
		g.List = l.number
	}
	a := s.Admission
	if a.Rate == 0 {
		return g
	}
	bits := a.Bits4
	g.Mask = uint64(^uint32(0) << (32 - bits))
	if v6 {
		bits = a.Bits6
		g.Mask = ^uint64(0) << (64 - bits)
	}
	g.Step, g.Burst = uint64(1e9)/uint64(a.Rate), uint64(a.Burst)
	h := fnv.New32a() // so that a process that takes the buckets over finds them
	fmt.Fprintf(h, "%s\x00%v\x00%d\x00%d", s.Name, v6, a.Rate, bits)
	g.Bound = h.Sum32()
	return g
}

// readLists finds the lists that a process before left, which no Apply has put there.
func (p *places) readLists(m *ebpf.Map) error {
	var key networkKey
	var standing uint32
	all := m.Iterate()
	for all.Next(&key, &standing) {
		p.leftNetworks = append(p.leftNetworks, key)
		p.list = max(p.list, key.List)
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("reading the networks that a process before left: %w", err)
	}
	return nil
}

// putLists writes the lists that are new. Should they not come into force, the next try finds
// them there, or they go with it.
func (e *engine) putLists(next *places) error {
	e.places.list = next.list // nobody gets their numbers
	pending := map[string]*listPlace{}
	for name, l := range next.lists {
		if e.lists[name] != l {
			pending[name] = l
		}
	}
	for name, l := range e.pending {
		if pending[name] != l {
			e.leftNetworks = slices.AppendSeq(e.leftNetworks, maps.Keys(l.entries))
		}
	}
	e.pending = pending
	for name, l := range pending {
		for key, standing := range l.entries {
			if err := e.programs.maps["networks"].Put(key, standing); err != nil {
				return fmt.Errorf("frontend %q: writing its lists of networks: %w", name, explain(err))
			}
		}
	}
	return nil
}

// sweepLists deletes the lists that nobody has any more.
func (e *engine) sweepLists(before *places) (faults []error) {
	used := map[uint32]bool{}
	for _, l := range e.lists {
		used[l.number] = true
	}
	for name, l := range before.lists {
		if e.lists[name] == l {
			continue
		}
		for key := range l.entries {
			faults = append(faults, e.programs.remove("networks", key))
		}
	}
	for _, key := range before.leftNetworks {
		if !used[key.List] {
			faults = append(faults, e.programs.remove("networks", key))
		}
	}
	return faults
}

// Refused implements kernel.Engine.
func (e *engine) Refused(see func(service string, r kernel.Refused)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[string]kernel.Refused{}
	for name, r := range e.refusedBefore {
		all[name] = r
	}
	for _, v := range e.vips {
		r, err := e.programs.readRefused(v.value.Index)
		if err != nil {
			return err
		}
		all[v.service] = addRefused(all[v.service], r)
	}
	for name, r := range all {
		see(name, r)
	}
	return nil
}

func addRefused(a, b kernel.Refused) kernel.Refused {
	return kernel.Refused{Denied: a.Denied + b.Denied, OverRate: a.OverRate + b.OverRate}
}

func (p *programs) readRefused(index uint32) (r kernel.Refused, err error) {
	var each []refusedValue
	if err := p.maps["refused"].Lookup(index, &each); err != nil {
		return r, fmt.Errorf("reading counters: %w", err)
	}
	for _, one := range each {
		r = addRefused(r, kernel.Refused{Denied: int64(one.Denied), OverRate: int64(one.OverRate)})
	}
	return r, nil
}
