package bpf

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"

	"gslb/balancer/kernel"
)

// places says what has which index in the maps. Whatever stays keeps its own.
type places struct {
	vips    map[vipKey]*vipPlace
	servers map[serverKey]*serverPlace
	tables  map[tableKey]*tablePlace
	lists   map[string]*listPlace // by service
	number  uint32                // given to the last new VIP
	serial  uint32                // given to the last new server
	list    uint32                // given to the last new lists
	// Lists that were written, with which an Apply then failed.
	pending map[string]*listPlace
	// What a process before left, and nobody has claimed yet.
	leftServers  map[leftKey]*serverPlace
	leftNetworks []networkKey
}

type vipPlace struct {
	value   vipValue
	guard   guardValue // if value's flags have guarded
	service string
}

// serverKey is a server of one service.
type serverKey struct {
	service string
	addr    netip.AddrPort
}

type serverPlace struct {
	index uint32
	value serverValue
	idle  time.Duration // after which a flow is no connection any more
}

// tableKey is a service's table for one family.
type tableKey struct {
	service string
	v6      bool
}

type tablePlace struct {
	index uint32
	slots *table
}

// leftKey is a serverKey as the maps have it.
type leftKey struct {
	pool uint64
	addr address
}

func poolOf(k serverKey) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%d", k.service, k.addr.Port())
	return h.Sum64()
}

// noTable is the index that no table has: of VIPs that get no new flows.
const noTable = 0

// readPlaces reads what a process before left in the maps.
func readPlaces(maps map[string]*ebpf.Map, kept bool) (places, error) {
	p := places{vips: map[vipKey]*vipPlace{}, servers: map[serverKey]*serverPlace{}, tables: map[tableKey]*tablePlace{}, lists: map[string]*listPlace{},
		leftServers: map[leftKey]*serverPlace{}}
	if !kept {
		return p, nil
	}
	var key vipKey
	var vip vipValue
	all := maps["vips"].Iterate()
	for all.Next(&key, &vip) {
		if key.Protocol == 0 {
			continue
		}
		p.vips[key] = &vipPlace{value: vip}
		p.number = max(p.number, vip.Number)
	}
	if err := all.Err(); err != nil {
		return p, fmt.Errorf("reading the virtual addresses that a process before left: %w", err)
	}
	for i := range uint32(mostServers) {
		var s serverValue
		if err := maps["servers"].Lookup(i, &s); err != nil {
			return p, fmt.Errorf("reading the servers that a process before left: %w", err)
		}
		if s.Serial != 0 {
			p.leftServers[leftKey{s.Pool, s.To}] = &serverPlace{index: i, value: s}
			p.serial = max(p.serial, s.Serial)
		}
	}
	return p, p.readLists(maps["networks"])
}

// plan returns the places that services come to, and changes nothing.
func (p *places) plan(services []kernel.Service) (places, error) {
	next := places{vips: map[vipKey]*vipPlace{}, servers: map[serverKey]*serverPlace{}, tables: map[tableKey]*tablePlace{}, lists: map[string]*listPlace{},
		number: p.number, serial: p.serial, list: p.list}
	for i := range services {
		if err := next.addServers(p, &services[i]); err != nil {
			return next, err
		}
	}
	for i := range services {
		if err := next.addTables(p, &services[i]); err != nil {
			return next, err
		}
	}
	for i := range services {
		if err := next.addList(p, &services[i]); err != nil {
			return next, err
		}
	}
	for i := range services {
		if err := next.addVIPs(p, &services[i]); err != nil {
			return next, err
		}
	}
	// A VIP that a service has left goes on for its old flows, while the service has servers.
	for key, old := range p.vips {
		if next.vips[key] == nil && next.has(old.service) {
			v := *old
			v.value.Table = noTable
			v.value.Flags &^= guarded
			next.vips[key] = &v
		}
	}
	return next, nil
}

func (p *places) has(service string) bool {
	for key := range p.servers {
		if key.service == service {
			return true
		}
	}
	return false
}

func (p *places) addServers(before *places, s *kernel.Service) error {
	in := make([]bool, len(s.Servers))
	for _, list := range [][]uint16{s.Slots4, s.Slots6} {
		for _, i := range list {
			if int(i) < len(in) {
				in[i] = true
			}
		}
	}
	for i, server := range s.Servers {
		key := serverKey{s.Name, netip.AddrPortFrom(server.Address.Addr().Unmap(), server.Address.Port())}
		place := before.server(key)
		if place == nil {
			index, ok := p.freeServer(before)
			if !ok {
				return fmt.Errorf("there are more than %d servers", mostServers)
			}
			p.serial++
			place = &serverPlace{index: index, value: serverValue{Serial: p.serial, Pool: poolOf(key), To: addressOf(key.addr.Addr())}}
		}
		place.idle = s.Idle
		v := &place.value
		v.State = stateDraining
		if in[i] {
			v.State = stateUp
		}
		if server.Gone {
			v.State = stateDown
		}
		v.Forward, v.Port, v.V6 = uint8(s.Tunnel), port(s.TunnelPort), 0
		if key.addr.Addr().Is6() {
			v.V6 = 1
		}
		p.servers[key] = place
	}
	return nil
}

// server returns a copy of a server's place, nil if it has none.
func (p *places) server(key serverKey) *serverPlace {
	old := p.servers[key]
	if old == nil {
		old = p.leftServers[leftKey{poolOf(key), addressOf(key.addr.Addr())}]
	}
	if old == nil {
		return nil
	}
	copied := *old
	return &copied
}

func (p *places) addTables(before *places, s *kernel.Service) error {
	for _, family := range []struct {
		v6    bool
		slots []uint16
	}{{false, s.Slots4}, {true, s.Slots6}} {
		if len(family.slots) == 0 {
			continue
		}
		if len(family.slots) != slots {
			return fmt.Errorf("frontend %q: a table of %d slots; must have %d", s.Name, len(family.slots), slots)
		}
		key := tableKey{s.Name, family.v6}
		place := &tablePlace{slots: new(table)}
		if old := before.tables[key]; old != nil {
			place.index = old.index
		} else if place.index = p.freeTable(before); place.index == noTable {
			return fmt.Errorf("there are more than %d tables: two for each frontend", mostVIPs-1)
		}
		for i, n := range family.slots {
			place.slots.Server[i] = none
			if int(n) < len(s.Servers) {
				a := s.Servers[n].Address
				place.slots.Server[i] = uint16(p.servers[serverKey{s.Name, netip.AddrPortFrom(a.Addr().Unmap(), a.Port())}].index)
			}
		}
		p.tables[key] = place
	}
	return nil
}

func (p *places) addVIPs(before *places, s *kernel.Service) error {
	for _, a := range s.Listen {
		key := vipKey{Address: addressOf(a.Addr()), Port: port(a.Port()), Protocol: s.Protocol}
		place := &vipPlace{service: s.Name}
		if old := before.vips[key]; old != nil {
			place.value.Number, place.value.Index = old.value.Number, old.value.Index
		} else {
			index, ok := p.freeVIP(before)
			if !ok {
				return fmt.Errorf("there are more than %d virtual addresses and ports", mostVIPs)
			}
			p.number++
			place.value.Number, place.value.Index = p.number, index
		}
		v := &place.value
		v6 := a.Addr().Unmap().Is6()
		if t := p.tables[tableKey{s.Name, v6}]; t != nil {
			v.Table = t.index
		}
		v.Start = hashStart ^ s.Key
		if !v6 {
			v.Start = mix(v.Start, 0)
		}
		if s.By != kernel.ByAddress {
			v.Flags |= whole
		}
		if s.Admission != nil {
			v.Flags |= guarded
			place.guard = p.guardOf(s, v6)
		}
		v.Idle = ticks(s.Idle)
		p.vips[key] = place
	}
	return nil
}

// ticks is a time in units of 2^30 ns, rounded up.
func ticks(d time.Duration) uint16 { return uint16(min(max(d>>30+1, 1), 65535)) }

// The free indexes: those that are not used now, nor by what is to be.

func (p *places) freeServer(before *places) (uint32, bool) {
	used := map[uint32]bool{}
	for _, m := range []map[serverKey]*serverPlace{before.servers, p.servers} {
		for _, s := range m {
			used[s.index] = true
		}
	}
	for _, s := range before.leftServers {
		used[s.index] = true
	}
	return free(used, 0, mostServers)
}

func (p *places) freeTable(before *places) uint32 {
	used := map[uint32]bool{}
	for _, m := range []map[tableKey]*tablePlace{before.tables, p.tables} {
		for _, t := range m {
			used[t.index] = true
		}
	}
	// Of tables that a process before left VIPs tell.
	for _, v := range before.vips {
		used[v.value.Table] = true
	}
	index, _ := free(used, noTable+1, mostVIPs)
	return index
}

func (p *places) freeVIP(before *places) (uint32, bool) {
	used := map[uint32]bool{}
	for _, m := range []map[vipKey]*vipPlace{before.vips, p.vips} {
		for _, v := range m {
			used[v.value.Index] = true
		}
	}
	return free(used, 0, mostVIPs)
}

func free(used map[uint32]bool, from, most uint32) (uint32, bool) {
	for i := from; i < most; i++ {
		if !used[i] {
			return i, true
		}
	}
	return 0, false
}
