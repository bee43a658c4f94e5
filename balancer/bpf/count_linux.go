package bpf

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"gslb/balancer/kernel"
)

// Count implements kernel.Engine. A flow is open until the client has ended it, or
// nothing has come of it for its frontend's idle time: what servers send does not come by.
// A connect looks as if it had failed when nothing but SYNs has come: its flow is with the young ones.
func (e *engine) Count(yield func(service string, server netip.AddrPort, c kernel.Counters)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	open := map[uint32]int64{}
	type holder struct {
		serial uint32
		idle   uint32
	}
	holders := map[uint32]holder{}
	for _, s := range e.servers {
		holders[s.index] = holder{s.value.Serial, uint32(ticks(s.idle))}
	}
	tcp := map[uint32]bool{} // by the number of the VIP
	for key, v := range e.vips {
		tcp[v.value.Number] = key.Protocol == kernel.TCP
	}
	now := clock()
	recent := 2 + uint32(ticks(e.attempts.Begin(time.Now())))
	failed := map[uint32]int64{}
	if err := e.programs.flows(func(client netip.AddrPort, vip uint32, r remembered, young bool) bool {
		if h := holders[r.Server]; h.serial == r.Serial && r.Ended == 0 && now-r.Seen <= h.idle {
			open[r.Server]++
			if young && tcp[vip] && now-r.Seen <= recent && e.attempts.Overdue(attempt{client, vip}) {
				failed[r.Serial]++
			}
		}
		return true
	}); err != nil {
		return err
	}
	for _, s := range e.servers {
		failed[s.value.Serial] += e.failed[s.value.Serial]
	}
	e.failed = failed
	for key, s := range e.servers {
		c, err := e.programs.readCounts("server_counts", s.index)
		if err != nil {
			return err
		}
		yield(key.service, key.addr, kernel.Counters{Connections: int64(c.Flows), Open: open[s.index], BytesUp: int64(c.Bytes), Failed: failed[s.value.Serial]})
	}
	return nil
}

// clock is the program's time, in units of 2^30 ns.
func clock() uint32 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &t); err != nil {
		return 0 // it has been there since Linux 2.6.32
	}
	return uint32(t.Nano() >> 30)
}

// attempt names a flow whose client has sent nothing but SYNs.
type attempt struct {
	client netip.AddrPort
	vip    uint32
}

// flows tells all flows that are remembered, until yield reports false. One is young
// until its second packet, SYNs not counted.
func (p *programs) flows(yield func(client netip.AddrPort, vip uint32, r remembered, young bool) bool) error {
	more := true
	for _, name := range []string{"flows4", "new4"} {
		if err := each(p.maps[name], &more, func(k flow4, r remembered) bool {
			return yield(netip.AddrPortFrom(netip.AddrFrom4(k.Client), k.Port.port()), k.VIP, r, name == "new4")
		}); err != nil {
			return err
		}
	}
	for _, name := range []string{"flows6", "new6"} {
		if err := each(p.maps[name], &more, func(k flow6, r remembered) bool {
			return yield(netip.AddrPortFrom(k.Client.addr(), k.Port.port()), k.VIP, r, name == "new6")
		}); err != nil {
			return err
		}
	}
	return nil
}

// each reads a map in batches while more holds.
func each[K any](m *ebpf.Map, more *bool, f func(K, remembered) bool) error {
	keys, values := make([]K, 4096), make([]remembered, 4096)
	var cursor ebpf.MapBatchCursor
	for *more {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("reading flows: %w", err)
		}
		for i := range n {
			if *more = f(keys[i], values[i]); !*more {
				return nil
			}
		}
		if err != nil {
			return nil // that was all
		}
	}
	return nil
}

// Flows implements kernel.Engine.
func (e *engine) Flows(yield func(kernel.Flow) bool) error {
	e.mu.Lock()
	vips, holders := map[uint32]kernel.Flow{}, map[uint32]kernel.Flow{}
	serials, idle := map[uint32]uint32{}, map[uint32]uint32{}
	for key, v := range e.vips {
		vips[v.value.Number] = kernel.Flow{Service: v.service, Protocol: key.Protocol, Virtual: netip.AddrPortFrom(key.Address.addr(), key.Port.port())}
	}
	for key, s := range e.servers {
		holders[s.index] = kernel.Flow{Server: key.addr}
		serials[s.index], idle[s.index] = s.value.Serial, uint32(ticks(s.idle))
	}
	copies := maps.Clone(e.programs.maps)
	e.mu.Unlock()
	now := clock()
	p := programs{maps: copies}
	return p.flows(func(client netip.AddrPort, vip uint32, r remembered, _ bool) bool {
		f, known := vips[vip]
		age := now - r.Seen
		if !known || serials[r.Server] != r.Serial || age > idle[r.Server] {
			return true
		}
		f.Client, f.Source, f.Server = client, client, holders[r.Server].Server
		f.Expires = time.Duration(idle[r.Server]-age) << 30
		if f.Protocol == kernel.TCP && r.Ended != 0 {
			f.State = "FIN" // of the client: the server's do not come by
		}
		return yield(f)
	})
}

// Reasons tells how many packets for VIPs had each end other than their server, since
// the maps were made.
func (e *engine) Reasons(yield func(Reason, uint64)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for r := range reasonsCount {
		var each []uint64
		if err := e.programs.maps["reasons"].Lookup(uint32(r), &each); err != nil {
			return fmt.Errorf("reading counters: %w", err)
		}
		var n uint64
		for _, one := range each {
			n += one
		}
		yield(r, n)
	}
	return nil
}
