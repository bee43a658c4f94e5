package main

import (
	"runtime/debug"
	"runtime/metrics"
	"time"

	"gslb/console"
	"gslb/geo"
)

// sayPlaces logs what the databases and the tables made of them take.
func (n *node) sayPlaces(places *geo.DB, topo *topology) {
	for _, s := range places.Sources() {
		n.log.Info("geo database in use", "path", s.Path, "type", s.Type, "built", s.Built, "networks", s.Networks, "places", s.Places,
			"bytes", s.Bytes, "took", s.LoadTime.Round(time.Millisecond))
	}
	all := topo.tables()
	if len(all) == 0 {
		return
	}
	var networks, bytes, cohorts int
	for _, t := range all {
		networks, bytes, cohorts = networks+t.Networks4+t.Networks6, bytes+t.Bytes, cohorts+t.Cohorts
	}
	n.log.Info("cohort tables in use", "tables", len(all), "networks", networks, "cohorts", cohorts, "bytes", bytes,
		"took", topo.policies[0].Table.Stats().BuildTime.Round(time.Millisecond))
}

// worthGivingBack is from how many bytes that were allocated giveBack does something;
// it must also be a tenth of what there is, or looking through all of that is not worth it.
const worthGivingBack = 32 << 20

// giveBack returns the memory that reading and compiling took to the system, if it
// was much since allocated() was before. Left alone, Go would keep a heap as large as
// the peak for minutes, beside many a small server's other work. It costs one
// collection, which runs beside the serving path.
func giveBack(before uint64) {
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(heap)
	if more := allocated() - before; more >= worthGivingBack && more >= heap[0].Value.Uint64()/10 {
		debug.FreeOSMemory()
	}
}

// allocated is how many bytes were ever allocated.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// tables describes the tables of all distinct policies.
func (t *topology) tables() []console.Table {
	out := make([]console.Table, len(t.policies))
	for i, p := range t.policies {
		st := p.Table.Stats()
		out[i] = console.Table{
			Cohorts: p.Compiled.Cohorts(), Networks4: st.Leaves4, Networks6: st.Leaves6,
			Bytes: st.Bytes, BuildSeconds: st.BuildTime.Seconds(),
		}
	}
	for _, s := range t.db.Steered() {
		out[s.Policy].Names = append(out[s.Policy].Names, s.Name)
	}
	return out
}
