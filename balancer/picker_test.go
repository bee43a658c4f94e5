package balancer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"gslb/test/bed"
)

// seeded returns a source of randomness for one test.
func seeded() func() uint64 { return rand.New(rand.NewPCG(1, 2)).Uint64 }

func testTable(pick string, random func() uint64, sizes ...float64) *table {
	var candidates []candidate
	for i, size := range sizes {
		candidates = append(candidates, candidate{server: newServer(fmt.Sprint(i)), size: size, ramp: 1})
	}
	return newTable(table{picker: pickers[pick](sources{random, time.Now}), candidates: candidates})
}

// again makes the table anew, after a test has changed its candidates.
func (t *table) again() *table {
	return newTable(table{picker: t.picker, candidates: t.candidates})
}

// someClient returns a flow from an address at random.
func someClient(random func() uint64) flow {
	r := random()
	a := netip.AddrFrom4([4]byte{byte(r >> 24), byte(r >> 16), byte(r >> 8), byte(r)})
	return flow{netip.AddrPortFrom(a, uint16(r>>32)), netip.MustParseAddrPort("192.0.2.1:443")}
}

func TestWeightedIsSmooth(t *testing.T) {
	table := testTable(Weighted, nil, 5, 1, 1)
	got := ""
	for range 14 {
		got += table.pick(flow{}).address
	}
	// The well-known sequence for 5:1:1: the heavy one is spread, not bunched.
	if want := "00102000010200"; got != want {
		t.Errorf("picks %s, want %s", got, want)
	}
}

// netipPort returns f's client at another port.
func netipPort(f flow, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(f.client.Addr(), port)
}

func TestRoundRobinTakesTurns(t *testing.T) {
	table := testTable(RoundRobin, nil, 5, 1, 1) // whatever their weights
	got := ""
	for range 6 {
		got += table.pick(flow{}).address
	}
	if want := "120120"; got != want {
		t.Errorf("picks %s, want %s", got, want)
	}
}

// simulate keeps busy connections open, each of which ends at random, and
// returns each server's share of n picks and its mean connections in flight.
func simulate(table *table, busy, n int, random func() uint64) (share, flight []float64) {
	share = make([]float64, len(table.candidates))
	flight = make([]float64, len(table.candidates))
	index := map[*server]int{}
	for i, c := range table.candidates {
		index[c.server] = i
	}
	var open []*server
	for range n {
		if len(open) == busy {
			i := int(random() % uint64(busy))
			open[i].open.Add(-1)
			open[i] = open[busy-1]
			open = open[:busy-1]
		}
		s := table.pick(someClient(random))
		s.open.Add(1)
		open = append(open, s)
		share[index[s]] += 1 / float64(n)
		for i, c := range table.candidates {
			flight[i] += float64(c.open.Load()) / float64(n)
		}
	}
	return share, flight
}

func TestPicksFollowSize(t *testing.T) {
	bed.OneGoroutine(t)
	sizes := map[string][]float64{
		"few equal":    {1, 1, 1},
		"few weighted": {1, 2, 3},
		"many":         {1, 1, 2, 2, 4, 4, 1, 1, 2, 2},
	}
	for name, sizes := range sizes {
		for _, pick := range Picks() {
			if pick == RoundRobin && name != "few equal" {
				continue // it takes no notice of sizes
			}
			t.Run(pick+" "+name, func(t *testing.T) {
				random := seeded()
				sum := 0.0
				for _, s := range sizes {
					sum += s
				}
				share, flight := simulate(testTable(pick, random, sizes...), int(sum)*50, 40000, random)
				for i, size := range sizes {
					if want := size / sum; math.Abs(share[i]-want) > 0.1*want {
						t.Errorf("server %d of size %g has %.4f of the picks, want about %.4f", i, size, share[i], want)
					}
					if want := size * 50; (pick == LeastLoad || pick == LeastConnections) && math.Abs(flight[i]-want) > 0.15*want {
						t.Errorf("server %d of size %g has %.1f connections, want about %.1f", i, size, flight[i], want)
					}
				}
			})
		}
	}
}

func TestLeastLoadTakesTheLessLoaded(t *testing.T) {
	table := testTable(LeastLoad, seeded(), 1, 1, 2)
	table.candidates[0].open.Store(3)
	table.candidates[1].open.Store(2)
	table.candidates[2].open.Store(3) // size 2: the least loaded
	if got := table.pick(flow{}).address; got != "2" {
		t.Errorf("picked %s, want 2", got)
	}
}

// Of many servers the one that looks idle to everybody gets no more than the
// share of draws that it is in: several balancers, each of which sees the same, do
// not all run to it. The least loaded of two is still mostly the better one.
func TestLeastLoadDoesNotHerd(t *testing.T) {
	const n, picks = 10, 20000
	sizes := make([]float64, n)
	for i := range sizes {
		sizes[i] = 1
	}
	table := testTable(LeastLoad, seeded(), sizes...)
	for i := range table.candidates {
		table.candidates[i].open.Store(int64(10 * i)) // 0 is idle, 9 the most loaded
	}
	took := map[string]float64{}
	for range picks {
		took[table.pick(flow{}).address] += 1. / picks
	}
	// Two draws out of ten, a third where they are the same.
	if took["0"] < 0.15 || took["0"] > 0.25 {
		t.Errorf("the idle one of %d took %.3f of the connections, want about a fifth", n, took["0"])
	}
	if took["9"] > 0.02 || took["1"] < took["8"] {
		t.Errorf("the loaded ones took too many: %v", took)
	}
}

func TestReturningServerDoesNotTakeEveryConnection(t *testing.T) {
	bed.OneGoroutine(t)
	for _, n := range []int{2, 3, 4, 10} {
		for _, ramp := range []float64{0.01, 0.1, 0.5} {
			for _, pick := range Picks() {
				t.Run(fmt.Sprintf("%s of %d at %g", pick, n, ramp), func(t *testing.T) {
					random := seeded()
					sizes := make([]float64, n)
					for i := range sizes {
						sizes[i] = 1
					}
					full := testTable(pick, random, sizes...)
					for i := range full.candidates {
						full.candidates[i].open.Store(1000) // long-lived, all but the returning one
					}
					full.candidates[0].open.Store(0)
					full.candidates[0].ramp = ramp
					table := full.again()
					const picks = 10000
					took := 0.0
					for range picks {
						if table.pick(someClient(random)).address == "0" {
							took++
						}
					}
					if most := 1.1*ramp*picks + 10; took > most {
						t.Errorf("took %g of %d, want at most %g", took, picks, most)
					}
					if took == 0 {
						t.Error("took none")
					}
				})
			}
		}
	}
}

func TestAllInSlowStartStillPick(t *testing.T) {
	for _, pick := range Picks() {
		table := testTable(pick, seeded(), 1, 1)
		table.candidates[0].ramp, table.candidates[1].ramp = 0.01, 0.01
		if table.again().pick(flow{}) == nil {
			t.Errorf("%s: no server", pick)
		}
	}
}

func TestElsewhere(t *testing.T) {
	table := testTable(LeastLoad, seeded(), 1, 1, 1, 1)
	s := func(i int) *server { return table.candidates[i].server }
	s(1).streak.Store(1) // idle because dead
	s(2).open.Store(5)
	s(3).open.Store(4)
	for _, test := range []struct {
		tried []*server
		want  int
	}{
		{[]*server{s(0)}, 3},
		{[]*server{s(0), s(3)}, 2},
		{[]*server{s(0), s(3), s(2)}, 1},
	} {
		if got, _ := table.elsewhere(test.tried); got != s(test.want) {
			t.Errorf("after %d tried: server %s, want %d", len(test.tried), got.address, test.want)
		}
	}
	if got, _ := table.elsewhere([]*server{s(0), s(1), s(2), s(3)}); got != nil {
		t.Errorf("all tried: server %s, want none", got.address)
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, pick := range Picks() {
		for _, n := range []int{1, 3, 100} {
			f := someClient(rand.Uint64)
			table := testTable(pick, rand.Uint64, make([]float64, n)...)
			for i := range table.candidates {
				table.candidates[i].size = 1
			}
			table = table.again()
			if got := testing.AllocsPerRun(100, func() { table.pick(f) }); got != 0 {
				t.Errorf("%s of %d: %g allocations", pick, n, got)
			}
		}
	}
	if (&table{}).pick(flow{}) != nil {
		t.Error("an empty table has a server")
	}
}

func BenchmarkPick(b *testing.B) {
	for _, pick := range Picks() {
		for _, n := range []int{3, 20, 200} {
			b.Run(fmt.Sprintf("%s/servers=%d", pick, n), func(b *testing.B) {
				sizes := make([]float64, n)
				for i := range sizes {
					sizes[i] = 1 + float64(i%3)
				}
				table, f := testTable(pick, rand.Uint64, sizes...), someClient(rand.Uint64)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						table.pick(f)
					}
				})
			})
		}
	}
}
