package geo

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"gslb/parallel"
)

// Spec says what a Table is to be made of.
type Spec struct {
	// Name is what errors call it.
	Name string
	// Cuts are networks that Cohort tells apart. They lose their host bits;
	// IPv4-mapped ones are taken for IPv4.
	Cuts []netip.Prefix
	// Cohort returns the number of a piece of the address space: of its Place and
	// of the longest of Cuts that contains it, the zero Prefix if none does. It is called
	// once for each distinct combination of what every source says and all Specs'
	// cuts, and a family, not for each network; in an order that depends on the databases and Specs alone.
	// Calls never overlap, but those of other Specs can. A number is less than 2^26.
	Cohort func(p Place, within netip.Prefix) uint32
}

// MaxTableBytes bounds the memory of a Table. One of City and ASN databases, joined, as
// finely as they go, takes less than a twentieth of it.
const MaxTableBytes = 1 << 30

// BuildAll makes a Table for each Spec. It walks everything that db says, joined, once
// for all of them; db may be nil: then nothing is known of any place. Neighbours
// with the same number merge as far as they go.
//
// It uses all processors, and yields (package parallel) every hundred microseconds or so.
func BuildAll(db *DB, specs []Spec) ([]*Table, error) { return buildAll(db, specs, MaxTableBytes) }

// Build makes a single Table, of any size. See Spec for cohort, which is called from this
// goroutine. It panics if cohort returns a number of 2^26 or more.
func Build(db *DB, cuts []netip.Prefix, cohort func(p Place, within netip.Prefix) uint32) *Table {
	tables, err := buildAll(db, []Spec{{Cuts: cuts, Cohort: cohort}}, math.MaxInt)
	if err != nil {
		panic("geo.Build: " + err.Error())
	}
	return tables[0]
}

func buildAll(db *DB, specs []Spec, limit int) ([]*Table, error) {
	begin := time.Now()
	if db == nil {
		db = newDB()
	}
	var cuts []netip.Prefix
	for _, s := range specs {
		cuts = append(cuts, s.Cuts...)
	}
	j := db.join(cuts)
	numbers, err := j.classify(specs)
	if err != nil {
		return nil, err
	}
	for i := range j.families {
		j.families[i].links = nil
	}
	tables := make([]*Table, len(specs))
	for i := range tables {
		tables[i] = new(Table)
	}
	errs := make([]error, 2*len(specs))
	parallel.Each(len(errs), func(i int) {
		s, v4 := i/2, i%2 == 0
		l, err := j.families[index(v4)].table(numbers[s][index(v4)], v4, limit)
		if err != nil {
			errs[i] = fmt.Errorf("%stable of %s: %w", specs[s].label(), familyName(v4), err)
			return
		}
		*tables[s].family(v4) = *l
		numbers[s][index(v4)] = nil
	})
	for _, t := range tables {
		t.buildTime = time.Since(begin)
	}
	return tables, errors.Join(errs...)
}

func (s Spec) label() string {
	if s.Name == "" {
		return ""
	}
	return s.Name + ": "
}

func familyName(v4 bool) string {
	if v4 {
		return "IPv4"
	}
	return "IPv6"
}

// classify returns for each spec and family the number of each tuple.
func (j *joint) classify(specs []Spec) ([][2][]uint32, error) {
	numbers := make([][2][]uint32, len(specs))
	within := make([][]netip.Prefix, len(specs)) // by cut of the joint: the longest of the spec's own
	for i, s := range specs {
		for f := range j.families {
			numbers[i][f] = make([]uint32, len(j.families[f].links))
		}
		within[i] = j.ownCuts(s.Cuts)
	}
	// Each goroutine joins the Places anew for its share of the specs.
	groups := min(len(specs), parallel.Processors())
	errs := make([]error, len(specs))
	parallel.Each(groups, func(g int) {
		j.each(func(family int, tuple uint32, p *Place, cut uint32) {
			for i := g; i < len(specs); i += groups {
				n := specs[i].Cohort(*p, within[i][cut])
				if n > maxNumber && errs[i] == nil {
					errs[i] = fmt.Errorf("%snumber %d: must be at most %d", specs[i].label(), n, maxNumber)
				}
				numbers[i][family][tuple] = n
			}
		})
	})
	return numbers, errors.Join(errs...)
}

// ownCuts returns for each cut of the joint the longest of own that contains it.
func (j *joint) ownCuts(own []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(j.cuts))
	known := make(map[netip.Prefix]bool, len(own))
	for _, p := range own {
		if p, ok := normalPrefix(p); ok {
			known[p] = true
		}
	}
	for i, c := range j.cuts {
		if i == 0 || len(known) == 0 {
			continue
		}
		for bits := c.Bits(); bits >= 0; bits-- {
			if p, err := c.Addr().Prefix(bits); err == nil && known[p] {
				out[i] = p
				break
			}
		}
	}
	return out
}

// table lays out a family with these numbers in the place of the tuples.
func (t *tupled) table(numbers []uint32, v4 bool, limit int) (*trie, error) {
	var merged stream
	for r, i := t.reader(), 1; ; i++ {
		r.next()
		at := r.run
		if !at.hole {
			at.value = numbers[at.value]
		}
		merged.push(at)
		if r.last == lastKey {
			break
		}
		if i%yieldEvery == 0 {
			parallel.Yield()
		}
	}
	merged.seal()
	return lay(&merged, v4, limit)
}

// cutter holds the cuts as partitions of numbers, 0 for none.
type cutter struct {
	*both
	prefixes []netip.Prefix // by number
}

func newCutter(cuts []netip.Prefix) cutter {
	c := cutter{prefixes: []netip.Prefix{{}}}
	seen := map[netip.Prefix]bool{}
	var networks []valued
	for _, p := range cuts {
		p, ok := normalPrefix(p)
		if !ok || seen[p] {
			continue
		}
		seen[p] = true
		networks = append(networks, valued{p, leaf{value: uint32(len(c.prefixes))}})
		c.prefixes = append(c.prefixes, p)
	}
	c.both = nested(networks)
	return c
}
