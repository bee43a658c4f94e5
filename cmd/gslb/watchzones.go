package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gslb/config"
	"gslb/folders"
	"gslb/parallel"
	"gslb/zones"
)

// watchTimes: an edit is served about half a second after its writer is done.
var watchTimes = folders.Times{Settle: 400 * time.Millisecond, Most: 10 * time.Second, Look: 5 * time.Second}

// listFault is where zoneWatch.bad has that [[zones]] cannot be listed.
const listFault = "[[zones]]"

// mostToldFiles bounds how many files with faults are told of at once.
const mostToldFiles = 5

// zoneWatch reads again what has changed. What is wrong with a file is a problem,
// and keeps nothing but that file's zone as it was.
type zoneWatch struct {
	n   *node
	bad map[string]string // by file, why its zone is not served as it stands there
	db  *zones.DB         // that dirs are of
	dir []string
}

// watchZones reads zones again whose files change, until ctx ends: node.watch_zones.
func (n *node) watchZones(ctx context.Context) error {
	w, err := folders.New(watchTimes)
	if err != nil {
		if n.fault("watch_zones", fmt.Sprintf("watch_zones: %v", err)); errors.Is(err, folders.ErrUnsupported) {
			<-ctx.Done()
			return ctx.Err()
		}
		return err
	}
	defer w.Close()
	z := zoneWatch{n: n, bad: make(map[string]string)}
	for {
		fresh, err := w.Set(z.folders())
		text := ""
		if err != nil {
			text = fmt.Sprintf("watch_zones: changes go unnoticed: %v", err)
		}
		n.fault("watch_zones folders", text)
		change := folders.Change{All: true}
		if !fresh {
			if change, err = w.Next(ctx); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !change.None() {
			parallel.Background(func() { z.take(ctx, change) })
		}
		z.tell()
	}
}

// folders lists where files of zones are.
func (z *zoneWatch) folders() []string {
	topo := z.n.inForce()
	cfg, db := topo.cfg, topo.db
	if db == z.db {
		return z.dir
	}
	all, last := make(map[string]bool), ""
	for _, dir := range cfg.Folders() {
		all[dir] = true
	}
	for _, zone := range db.AsRead() {
		zone.EachFile(func(path string) {
			if dir := filepath.Dir(path); dir != last {
				all[dir], last = true, dir
			}
		})
	}
	z.db, z.dir = db, slices.Sorted(maps.Keys(all))
	return z.dir
}

// take reads again what a change is about.
func (z *zoneWatch) take(ctx context.Context, c folders.Change) {
	topo := z.n.inForce()
	cfg, db := topo.cfg, topo.db
	for path := range z.bad {
		if c.All || slices.Contains(c.Paths, path) {
			delete(z.bad, path)
		}
	}
	changed, list := z.changed(cfg, db, c)
	if list {
		z.list(ctx, cfg, db)
	}
	z.read(ctx, changed)
}

// changed lists the zones whose files have changed, and tells whether [[zones]]
// have to be listed anew. Zones that go with their files are left to that.
func (z *zoneWatch) changed(cfg *config.Config, db *zones.DB, c folders.Change) (all []*zones.Zone, list bool) {
	unknown := make(map[string]bool, len(c.Paths))
	for _, path := range c.Paths {
		unknown[path] = true
	}
	paths := maps.Clone(unknown)
	gone := func(path string) bool {
		_, err := os.Lstat(path)
		return cfg.Lists(path) && errors.Is(err, os.ErrNotExist)
	}
	for i, zone := range db.AsRead() {
		if i%1024 == 0 {
			parallel.Yield()
		}
		changed := c.All
		zone.EachFile(func(path string) {
			if paths[path] {
				changed = true
				delete(unknown, path)
			}
		})
		switch {
		case !changed:
		case zone.Current(): // as it was, or read already
			delete(z.bad, zone.File)
		case gone(zone.File):
			list = true
		default:
			all = append(all, zone)
		}
	}
	for path := range unknown {
		list = list || cfg.Lists(path)
	}
	return all, list || c.All && len(cfg.Folders()) > 0
}

// list takes in zones whose files are new, and lets go of those whose are gone.
func (z *zoneWatch) list(ctx context.Context, cfg *config.Config, db *zones.DB) {
	delete(z.bad, listFault)
	o := reloading{listing: true, leaveOut: make(map[string]bool)}
	for path := range z.bad {
		o.leaveOut[path] = cfg.Lists(path)
	}
	err := z.n.askReload(ctx, o)
	if err == nil || ctx.Err() != nil {
		return
	}
	// Which of the new files is it?
	next, listErr := cfg.Relist(o.leaveOut)
	if listErr != nil {
		z.bad[listFault] = listErr.Error()
		return
	}
	found := false
	had := make(map[string]bool)
	for _, zone := range db.AsRead() {
		had[zone.File] = true
	}
	for _, c := range next.Files() {
		if had[c.File] {
			continue
		}
		if _, err := zones.ReadFile(c); err != nil {
			z.bad[c.File], o.leaveOut[c.File], found = err.Error(), true, true
		}
	}
	if found {
		err = z.n.askReload(ctx, o)
	}
	if err != nil {
		z.bad[listFault] = err.Error()
	}
}

// read reads zones again. Where that fails for several it does so for each half of
// them, so that good ones are served.
func (z *zoneWatch) read(ctx context.Context, all []*zones.Zone) {
	if len(all) == 0 || ctx.Err() != nil {
		return
	}
	o := reloading{zones: make([]string, len(all))}
	for i, zone := range all {
		o.zones[i] = zone.Name
	}
	switch err := z.n.askReload(ctx, o); {
	case err == nil:
		for _, zone := range all {
			delete(z.bad, zone.File)
		}
	case len(all) > 1:
		z.read(ctx, all[:len(all)/2])
		z.read(ctx, all[len(all)/2:])
	default:
		z.bad[all[0].File] = err.Error()
	}
}

// tell makes what is wrong a problem, as long as it is.
func (z *zoneWatch) tell() {
	all := slices.Sorted(maps.Values(z.bad))
	text := ""
	if n := len(all); n > 0 {
		more := ""
		if n > mostToldFiles {
			all, more = all[:mostToldFiles], fmt.Sprintf("; and %d more", n-mostToldFiles)
		}
		text = "files of zones have changed and cannot be served, what was served before still is: " + strings.Join(all, "; ") + more
	}
	z.n.fault("watch_zones files", text)
}

// askReload has the goroutine of reloads do one, and waits for it.
func (n *node) askReload(ctx context.Context, o reloading) error {
	done := make(chan reloaded, 1)
	select {
	case n.asked <- reloadOrder{o, done}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case r := <-done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
