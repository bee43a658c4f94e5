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
	{"lines (gslb)", false, nil},
	{"sorted array, two-step index", false, newSorted},
	{"poptrie, 16 bits direct", false, newPoptrie},
	{"DIR-24-8", true, newDir24},
	{"bart.Table", false, newBart},
	{"bart.Fast", false, newBartFast},
}

func main() {
	only := flag.String("policy", "", "measure this policy only")
	flag.Parse()
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
			compare(own, v4)
		}
	}
}

// compare measures all candidates on the leaves of one family.
func compare(own *geo.Table, v4 bool) {
	leaves := leavesOf(own, v4)
	family := "IPv6"
	if v4 {
		family = "IPv4"
	}
	fmt.Printf("\n| %s, %d networks | hot | random | cold | skewed | MiB | built in ms |\n|---|---|---|---|---|---|---|\n", family, len(leaves))
	mixes := mixesOf(leaves, v4)
	for _, c := range candidates {
		if c.only4 && !v4 {
			continue
		}
		var t table = ours{own}
		size, took := "", ""
		if c.build != nil {
			before := heap()
			begin := time.Now()
			t = c.build(leaves)
			took = fmt.Sprintf("%d", time.Since(begin).Milliseconds())
			size = fmt.Sprintf("%.1f", float64(heap()-before)/(1<<20))
			check(t, own, c.name, mixes.random)
		} else if st := own.Stats(); true {
			share := float64(len(leaves)) / float64(st.Leaves4+st.Leaves6)
			size = fmt.Sprintf("%.1f (share)", float64(st.Bytes)*share/(1<<20))
		}
		fmt.Printf("| %s | %.1f | %.1f | %.1f | %.1f | %s | %s |\n", c.name,
			throughput(t, mixes.hot), chain(t, mixes.random), cold(t, mixes.random), chain(t, mixes.skewed), size, took)
		runtime.KeepAlive(t)
	}
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
