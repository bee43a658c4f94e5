// Command tables compares structures for the table from a client's network to its
// cohort: on the databases given, joined, with a few policies such as people write.
// It stands in a module of its own, so that what it compares with stays out of gslb's.
//
//	cd tools/tables && go run . City.mmdb ASN.mmdb
package main

import (
	"flag"
	"fmt"
	"log"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"gslb/geo"
	"gslb/steer"
)

// network is a leaf of a partition: a network and its cohort.
type network struct {
	prefix netip.Prefix
	cohort uint32
}

// table is a candidate: it tells the cohort of an address and the width of the
// network around it, packed: cohort<<8 | width.
type table interface {
	lookup(a netip.Addr) uint32
}

type candidate struct {
	name  string
	only4 bool
	build func([]network) table
}

var candidates = []candidate{
	{"this table", false, nil},
	{"lines", false, newLines},
	{"sorted array, two-step index", false, newSorted},
	{"poptrie, 16 bits direct", false, newPoptrie},
	{"DIR-24-8", true, newDir24},
	{"bart.Table", false, newBart},
	{"bart.Fast", false, newBartFast},
}

func main() {
	only := flag.String("policy", "", "measure this policy only")
	tables := flag.String("tables", "", "measure the tables only whose name begins so")
	flag.Parse()
	runtime.LockOSThread() // see clock
	db, err := geo.Open(geo.Config{Databases: flag.Args()})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range policies() {
		if *only != "" && p.Name != *only {
			continue
		}
		c, err := steer.Compile(&p, sites)
		if err != nil {
			log.Fatal(err)
		}
		begin := time.Now()
		own := geo.Build(db, c.Cuts(), func(at geo.Place, within netip.Prefix) uint32 { return c.Classify(at, within, nil) })
		fmt.Printf("\n%s: %d cohorts, built in %.1f s (the walk included)\n", p.Name, c.Cohorts(), time.Since(begin).Seconds())
		for _, v4 := range []bool{true, false} {
			compare(own, v4, *tables)
		}
	}
}

// measured is a candidate with what was measured of it: the least of all rounds,
// since what disturbs only ever adds.
type measured struct {
	name, size, took          string
	table                     table
	hot, random, cold, skewed float64
}

// compare measures all candidates on the leaves of one family, in turns.
func compare(own *geo.Table, v4 bool, tables string) {
	leaves := leavesOf(own, v4)
	mixes := mixesOf(leaves, v4)
	var all []*measured
	for _, c := range candidates {
		if c.only4 && !v4 || !strings.HasPrefix(c.name, tables) {
			continue
		}
		all = append(all, prepare(c, own, leaves, mixes.random))
	}
	var alone float64 // cold, without a look-up
	for range rounds {
		for _, m := range all {
			alone = least(alone, cold(nil, mixes.random))
			m.hot = least(m.hot, throughput(m.table, mixes.hot))
			m.random = least(m.random, chain(m.table, mixes.random))
			m.cold = least(m.cold, cold(m.table, mixes.random))
			m.skewed = least(m.skewed, chain(m.table, mixes.skewed))
		}
	}
	family := "IPv6"
	if v4 {
		family = "IPv4"
	}
	fmt.Printf("\n| %s, %d networks | hot | random | cold | skewed | MiB | built in ms |\n|---|---|---|---|---|---|---|\n", family, len(leaves))
	for _, m := range all {
		fmt.Printf("| %s | %.1f | %.1f | %.1f | %.1f | %s | %s |\n", m.name, m.hot, m.random, m.cold-alone, m.skewed, m.size, m.took)
	}
}

// least is the smaller one; 0 is not measured yet.
func least(a, b float64) float64 {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// prepare builds a candidate, and makes sure that it is right.
func prepare(c candidate, own *geo.Table, leaves []network, addrs []netip.Addr) *measured {
	m := &measured{name: c.name}
	if c.build == nil {
		st := own.Stats()
		share := float64(len(leaves)) / float64(st.Leaves4+st.Leaves6)
		m.table, m.size = ours{own}, fmt.Sprintf("%.1f (share)", float64(st.Bytes)*share/(1<<20))
		return m
	}
	before := heap()
	begin := clock()
	m.table = c.build(leaves)
	m.took = fmt.Sprintf("%d", (clock()-begin)/1e6)
	m.size = fmt.Sprintf("%.1f", float64(heap()-before)/(1<<20))
	check(m.table, own, c.name, addrs)
	return m
}

// check makes sure that a candidate is right before it is measured.
func check(t table, own *geo.Table, name string, addrs []netip.Addr) {
	for _, a := range addrs[:200000] {
		if got, want := t.lookup(a), (ours{own}).lookup(a); got != want {
			log.Fatalf("%s: %s: cohort %d in /%d, want %d in /%d", name, a, got>>8, got&0xff, want>>8, want&0xff)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
