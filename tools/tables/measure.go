package main

import (
	"encoding/binary"
	"log"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"gslb/geo"
)

type ours struct{ *geo.Table }

func (t ours) lookup(a netip.Addr) uint32 {
	cohort, bits := t.Lookup(a)
	return cohort<<8 | uint32(bits)
}

// elsewhere are the networks in which a Table looks up the IPv4 address within.
var elsewhere = []netip.Prefix{
	netip.MustParsePrefix("::ffff:0:0/96"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("2002::/16"),
}

// leavesOf lists the leaves of a Table; those elsewhere as one network of cohort 0.
func leavesOf(t *geo.Table, v4 bool) (all []network) {
	a := netip.IPv6Unspecified()
	if v4 {
		a = netip.IPv4Unspecified()
	}
	for a.IsValid() {
		cohort, bits := t.Lookup(a)
		p, _ := a.Prefix(int(bits))
		for _, e := range elsewhere {
			if e.Contains(a) {
				p, cohort = e, 0
			}
		}
		all = append(all, network{p, cohort})
		a = last(p).Next()
	}
	return all
}

func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// mixes are addresses to ask for. IPv4: the first ones of /24s, as in ECS options.
type mixes struct {
	hot    []netip.Addr // few random ones
	random []netip.Addr // many random ones
	skewed []netip.Addr // a few networks most of the time (Zipf)
}

func mixesOf(leaves []network, v4 bool) mixes {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() netip.Addr {
		if v4 {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], (1<<24+r.Uint32N(223<<24))&^0xff)
			return netip.AddrFrom4(b)
		}
		// Nearly all of the IPv6 addresses are nobody's: one in a random leaf.
		for {
			p := leaves[r.IntN(len(leaves))].prefix
			b, end := p.Addr().As16(), last(p).As16()
			for i := range b[:7] { // a /56
				b[i] |= byte(r.Uint32()) & (b[i] ^ end[i])
			}
			a := netip.AddrFrom16(b)
			within := p.Bits() > 64 // such are few, and not all candidates know them
			for _, e := range elsewhere {
				within = within || e.Contains(a)
			}
			if !within {
				return a
			}
		}
	}
	list := func(n int) []netip.Addr {
		out := make([]netip.Addr, n)
		for i := range out {
			out[i] = random()
		}
		return out
	}
	m := mixes{hot: list(1 << 12), random: list(1 << 20)}
	zipf := rand.NewZipf(r, 1.1, 10, 1<<18)
	for range 1 << 20 {
		m.skewed = append(m.skewed, m.random[zipf.Uint64()])
	}
	return m
}

// rounds is how often each measurement is made.
const rounds = 3

// clock is the processor time of this thread in ns: what others take does not count.
func clock() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		log.Fatal(err)
	}
	return now.Nano()
}

// throughput is the time of a look-up in ns when the next ones need not wait for it.
func throughput(t table, addrs []netip.Addr) float64 {
	var sum uint32
	const passes = 40
	begin := clock()
	for range passes {
		for _, a := range addrs {
			sum += t.lookup(a)
		}
	}
	sink = sum
	return float64(clock()-begin) / float64(passes*len(addrs))
}

// chain is the time of a look-up in ns when the next one waits for it, as queries do.
func chain(t table, addrs []netip.Addr) float64 {
	var sum uint32
	mask := uint32(len(addrs) - 1)
	begin := clock()
	for i := range uint32(len(addrs)) {
		sum = t.lookup(addrs[(i+sum&1)&mask])
	}
	sink = sum
	return float64(clock()-begin) / float64(len(addrs))
}

// other is what a server's other work keeps in the caches.
var other = func() []uint64 {
	list := make([]uint64, 64<<20/8)
	for i := range list { // what was never written is one and the same page
		list[i] = uint64(i)
	}
	return list
}()

// cold is the time in ns of reading 64 random cache lines, and a look-up behind them if there is a table.
func cold(t table, addrs []netip.Addr) float64 {
	warm()
	x, sum := uint64(1), uint64(0)
	begin := clock()
	const n = 1 << 15
	for i := range n {
		for range 64 {
			x = x*6364136223846793005 + 1442695040888963407
			sum += other[x>>41&uint64(len(other)-1)]
		}
		a := addrs[(i+int(sum&1))&(len(addrs)-1)]
		if t != nil {
			sum += uint64(t.lookup(a))
		} else {
			sum += uint64(a.BitLen())
		}
	}
	sink = uint32(sum)
	return float64(clock()-begin) / n
}

// warm gives the system time to put huge pages under what is read at random.
func warm() {
	for begin := time.Now(); !settled && time.Since(begin) < 3*time.Second; {
		for i := 0; i < len(other); i += 8 {
			sink += uint32(other[i])
		}
	}
	settled = true
}

var settled bool

var sink uint32
