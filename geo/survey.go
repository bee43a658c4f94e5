package geo

import (
	"math"
	"net/netip"
	"slices"

	"gslb/parallel"
)

// Survey is the whole address space by size: for each distinct combination of what
// one or more DBs and some sets of networks say, how much of it there is. It never
// changes, and takes eight bytes for each combination on top of what tells them apart.
type Survey struct {
	joint  *joint
	of     []uint64 // by source of the joint: the DBs that it belongs to, one bit each
	dbs    int
	within [][]netip.Prefix // by set of cuts and cut of the joint: the longest of the set's
	sizes  [2][]float64     // by family and tuple
}

// Piece is one such combination, in one family.
type Piece struct {
	Places []Place        // by DB
	Within []netip.Prefix // by set of cuts: the longest of its networks that contains the piece; zero: none does
	IPv6   bool
	// Size is how many IPv4 addresses it has, or IPv6 networks of 48 bits (what a site of a
	// user commonly gets, RFC 6177); less than one for what is smaller than such a network.
	Size float64
}

// sitePrefix is the width of the networks by which IPv6 is measured.
const sitePrefix = 48

// NewSurvey walks everything that the DBs say, joined with the sets of networks,
// once. A nil DB is one that knows nothing. There may be 64 of them at most.
//
// IPv6 addresses that hold an IPv4 address are left out: they are looked up as that.
func NewSurvey(dbs []*DB, cuts [][]netip.Prefix) *Survey {
	s := &Survey{dbs: len(dbs)}
	partitions := s.partitions(dbs)
	var all []netip.Prefix
	for _, set := range cuts {
		all = append(all, set...)
	}
	s.joint = join(partitions, all)
	for _, set := range cuts {
		s.within = append(s.within, s.joint.ownCuts(set))
	}
	for f := range s.joint.families {
		s.sizes[f] = s.joint.families[f].measure(f == index(true))
	}
	return s
}

// partitions joins the sources of all DBs. Where these differ in their overrides alone,
// as two configurations mostly do, the databases are walked once.
func (s *Survey) partitions(dbs []*DB) []partition {
	for i, db := range dbs {
		if db == nil {
			dbs = slices.Clone(dbs)
			dbs[i] = newDB()
		}
	}
	var all []partition
	add := func(l partition, of uint64) {
		all, s.of = append(all, l), append(s.of, of)
	}
	var shared uint64
	for i, db := range dbs {
		if slices.Equal(db.sources, dbs[0].sources) {
			shared |= 1 << i
		}
		if first := slices.Index(dbs, db); first < i {
			s.of[first] |= 1 << i
			continue
		}
		add(db.partitions()[0], 1<<i)
	}
	for i, db := range dbs {
		mask := uint64(1) << i
		if shared&mask != 0 {
			if mask = shared; i > 0 {
				continue
			}
		}
		for _, l := range db.partitions()[1:] {
			add(l, mask)
		}
	}
	return all
}

// measure adds up the sizes of each tuple's networks.
func (t *tupled) measure(v4 bool) []float64 {
	sizes := make([]float64, len(t.links))
	whole := sitePrefix
	if v4 {
		whole = 32
	}
	for r, i := t.reader(), 1; ; i++ {
		r.next()
		if !r.hole {
			sizes[r.value] += math.Ldexp(1, whole-int(r.bits))
		}
		if r.last == lastKey {
			return sizes
		}
		if i%yieldEvery == 0 {
			parallel.Yield()
		}
	}
}

// Each calls f with every piece, in the same order each time. The Piece is f's to
// read until it returns. Any number of calls may run at once.
func (s *Survey) Each(f func(*Piece)) {
	p := Piece{Places: make([]Place, s.dbs), Within: make([]netip.Prefix, len(s.within))}
	for family := range s.sizes {
		p.IPv6 = family != index(true)
		links := s.joint.families[family].links
		for t, size := range s.sizes[family] {
			if t%512 == 0 {
				parallel.Yield()
			}
			if size == 0 {
				continue // only on the way to longer tuples
			}
			clear(p.Places)
			cut := s.places(links, uint32(t), p.Places)
			for i := range p.Within {
				p.Within[i] = s.within[i][cut]
			}
			p.Size = size
			f(&p)
		}
	}
}

// places fills in what each DB says of a tuple, and returns its cut.
func (s *Survey) places(links []link, tuple uint32, out []Place) (cut uint32) {
	if tuple == 0 {
		return 0
	}
	l := links[tuple]
	s.places(links, l.before, out)
	if int(l.source) == len(s.joint.sources) {
		return l.said
	}
	said := s.joint.sources[l.source].at(l.said)
	for i := range out {
		if s.of[l.source]&(1<<i) != 0 {
			out[i] = out[i].fill(said)
		}
	}
	return 0
}
