package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// zoneNames is how many names each of many zones has: its apex, its name server and www.
const zoneNames = 3

// manyZone is the name of one of many zones.
func manyZone(i int) string { return fmt.Sprintf("z%07d.many.example.", i) }

// newDatasetIn makes a dataset of plain zones in a directory of its own.
func newDatasetIn(ctx context.Context, o *options, dir, tools string) (*dataset, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	d, err := newDataset(ctx, o, abilities{static: true}, dir, tools)
	if err != nil || o.Zones == 0 {
		return d, err
	}
	files := filepath.Join(dir, "zones")
	if err := os.Mkdir(files, 0o755); err != nil {
		return nil, err
	}
	var list strings.Builder
	for i := range o.Zones {
		zone := manyZone(i)
		d.many = append(d.many, plainZone{zone, filepath.Join(files, strings.TrimSuffix(zone, "."))})
		if err := os.WriteFile(d.many[i].file, []byte(zoneHead(zone)+"www A 192.0.2.80\n"), 0o644); err != nil {
			return nil, err
		}
		if i%(1+o.Zones/mostAsked) == 0 {
			fmt.Fprintf(&list, "www.%s A\n", zone)
		}
	}
	return d, os.WriteFile(d.staticNames, []byte(list.String()), 0o644)
}

// total is how many names all zones have.
func (d *dataset) total() int { return d.names + zoneNames*len(d.many) }

// size is that of the master files, in octets.
func (d *dataset) size() int64 {
	var octets int64
	for _, z := range append([]plainZone{{staticZone, d.static}}, d.many...) {
		if i, err := os.Stat(z.file); err == nil {
			octets += i.Size()
		}
	}
	return octets
}

// probes are names with an address, in all parts of what is loaded: a server that
// answers for them has loaded it.
func (d *dataset) probes() []string {
	all := []string{staticName(0), staticName(d.names / 2), staticName(d.names - 1)}
	if n := len(d.many); n > 0 {
		all = append(all, "www."+manyZone(0), "www."+manyZone(n/2), "www."+manyZone(n-1))
	}
	return all
}
