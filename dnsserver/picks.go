package dnsserver

import (
	"slices"
	"sync/atomic"
)

// pickShards keeps goroutines that count the same choice off one another's cache lines.
const pickShards = 8

// picks counts choices by steered name and site.
type picks struct {
	names  []string // steered names, by index
	sites  []string // by index
	before []uint64 // what generations before had counted; nil: nothing
	shards [pickShards][]atomic.Uint64
}

func newPicks(names, sites []string) *picks {
	p := &picks{names: names, sites: sites}
	for i := range p.shards {
		p.shards[i] = make([]atomic.Uint64, len(names)*len(sites)+8)
	}
	return p
}

func (p *picks) add(shard, steered, site int) {
	if uint(site) < uint(len(p.sites)) {
		p.shards[shard%pickShards][steered*len(p.sites)+site].Add(1)
	}
}

func (p *picks) get(steered, site int) (n uint64) {
	at := steered*len(p.sites) + site
	if p.before != nil {
		n = p.before[at]
	}
	for i := range p.shards {
		n += p.shards[i][at].Load()
	}
	return n
}

// after gives the counts of the generation that comes after that of old, so that
// none ever falls while its steered name and its site are there: old itself where
// they are all the same. Otherwise what queries that are being answered from the old
// generation at this moment still add is not counted.
func (p *picks) after(old *picks) *picks {
	if slices.Equal(p.names, old.names) && slices.Equal(p.sites, old.sites) {
		return old
	}
	steered := make(map[string]int, len(old.names))
	for i, name := range old.names {
		steered[name] = i
	}
	next := newPicks(p.names, p.sites)
	next.before = make([]uint64, len(p.names)*len(p.sites))
	for site, name := range p.sites {
		was := slices.Index(old.sites, name)
		if was < 0 {
			continue
		}
		for i, name := range p.names {
			if at, ok := steered[name]; ok {
				next.before[i*len(p.sites)+site] = old.get(at, was)
			}
		}
	}
	return next
}
