package zones

// Ahead reads ahead what look-ups of some names will read, all of them together:
// where a DB is larger than the processor's caches, a look-up waits for memory
// three or four times, one after the other, and those of many names can wait at the
// same time. It changes nothing and finds nothing: what it reads is thrown away. It
// goes step by step, each of which reads, for all names, one place that is not in a
// cache, in a loop so short that the processor has many of these reads under way.
type Ahead struct {
	name  Name
	names []aheadName
	used  int
	sum   uint64 // of what was read, so that it is
}

// aheadName is a name on its way.
type aheadName struct {
	hash   uint64
	apexes [aheadApexes]uint64 // hashes of what may be its zone's apex, the longest first
	count  int
	zone   *Zone
	next   node
}

const (
	// aheadApexes is how many of the zones that a name may stand in are looked for:
	// where apexes of more different lengths are served, the longest are.
	aheadApexes = 3
	// aheadFrom is how much memory zones must take, in octets, for reading ahead to
	// be of use: what a processor's second cache holds, or more.
	aheadFrom = 4 << 20
)

// NewAhead makes room for n names.
func NewAhead(n int) *Ahead { return &Ahead{names: make([]aheadName, n)} }

// Large tells whether reading ahead is of use.
func (db *DB) Large() bool { return db.table.octets >= aheadFrom }

// Add adds the name that b begins with, if there is one and room for it.
func (a *Ahead) Add(db *DB, b []byte) {
	if a.used == len(a.names) || a.name.Set(b) < 0 {
		return
	}
	n := &a.names[a.used]
	n.hash, n.count = a.name.hash[0], 0
	for depth := a.name.labels; depth >= 0 && n.count < aheadApexes; depth-- {
		if db.depths[depth>>6&1]&(1<<(depth&63)) != 0 {
			n.apexes[n.count] = a.name.hash[a.name.labels-depth]
			n.count++
		}
	}
	a.used++
}

// Read reads ahead for all names that were added, and forgets them.
func (a *Ahead) Read(db *DB) {
	names, sum := a.names[:a.used], uint64(0)
	a.used = 0
	if len(db.table.pages) == 0 {
		return
	}
	for i := range names {
		for _, h := range names[i].apexes[:names[i].count] {
			sum += db.table.slot(db.table.start(h)).hash
		}
	}
	for i := range names {
		n := &names[i]
		n.zone = &noZone
		for _, h := range n.apexes[:n.count] {
			if z, _ := db.table.first(h); z != nil {
				n.zone = z
				break
			}
		}
		sum += uint64(n.zone.labels)
	}
	for i := range names {
		n := &names[i]
		n.next = 0
		if z := n.zone; z.small[0] != 0 {
			n.next, _ = z.small.scan(n.hash, 0)
		} else if len(z.index) > 0 {
			sum += z.index[z.index.start(n.hash)]
		} else if z.pages != nil {
			sum += z.pages.at(z.pages.start(n.hash))
		}
		if len(n.zone.arena) > 0 {
			sum += uint64(n.zone.arena[4*int(n.zone.top)])
		}
	}
	for i := range names {
		n := &names[i]
		z := n.zone
		if n.next == 0 && len(z.index) > 0 {
			number, _ := z.index.first(n.hash)
			n.next = node(number)
		} else if n.next == 0 && z.pages != nil {
			number, _ := z.pages.first(n.hash)
			n.next = node(number)
		}
		at := 4 * int(n.next)
		if at == 0 { // the answer will be that there is no such name
			at = z.negSOA
		}
		if at+64 < len(z.arena) {
			sum += uint64(z.arena[at]) + uint64(z.arena[at+64])
		}
	}
	a.sum += sum
}

// noZone stands for the zone of a name that is in none.
var noZone Zone
