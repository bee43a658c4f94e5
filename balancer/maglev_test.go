package balancer

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"gslb/test/bed"
)

var update = flag.Bool("update", false, "write the tables of docs/maglev.md")

// maglevCase is a fleet, and what becomes of it.
type maglevCase struct {
	servers int
	gone    int     // servers that leave at once
	needles float64 // slots that may change hands needlessly, of all
	weights []float64
}

// make returns the fleet's seeds and shares.
func (c maglevCase) make() (seeds []uint64, shares []float64) {
	for i := range c.servers {
		seeds = append(seeds, hashText(fmt.Sprintf("10.0.%d.%d:443", i/250, i%250+1)))
		w := 1.0
		if c.weights != nil {
			w = c.weights[i%len(c.weights)]
		}
		shares = append(shares, w)
	}
	return seeds, shares
}

func (c maglevCase) size() int {
	if c.servers > maglevMany {
		return maglevSizeBig
	}
	return maglevSize
}

// spread returns the least and the greatest share of slots that a server has, over
// what it should have.
func spread(slots []uint16, shares []float64) (least, greatest float64) {
	count, sum := make([]float64, len(shares)), 0.0
	for _, i := range slots {
		count[i]++
	}
	for _, s := range shares {
		sum += s
	}
	least = math.Inf(1)
	for i, n := range count {
		of := n / float64(len(slots)) / (shares[i] / sum)
		least, greatest = min(least, of), max(greatest, of)
	}
	return least, greatest
}

// disrupt makes c.gone servers leave, drawn at random, and returns which part of the slots changed
// hands though their server stayed: the mean and the worst of some draws.
func (c maglevCase) disrupt(seeds []uint64, shares []float64, before []uint16) (mean, worst float64) {
	random := rand.New(rand.NewPCG(3, uint64(c.servers)))
	const draws = 5
	for range draws {
		left := random.Perm(c.servers)[c.gone:]
		slices.Sort(left)
		var s []uint64
		var w []float64
		stayed := make([]bool, c.servers)
		for _, i := range left {
			s, w, stayed[i] = append(s, seeds[i]), append(w, shares[i]), true
		}
		moved := 0
		for slot, i := range maglevSlots(s, w, c.size()) {
			if was := before[slot]; left[i] != int(was) && stayed[was] {
				moved++
			}
		}
		part := float64(moved) / float64(len(before))
		mean, worst = mean+part/draws, max(worst, part)
	}
	return mean, worst
}

// TestMaglev: shares within 1 %, and as few slots changing hands as in the paper.
// Its table is in docs/maglev.md: go test ./balancer -run TestMaglev -update.
func TestMaglev(t *testing.T) {
	bed.OneGoroutine(t)
	uneven := []float64{1, 2, 4}
	var page strings.Builder
	page.WriteString("| servers | weights | slots | least share | greatest share | servers that leave | moved needlessly, mean | worst of 5 |\n|--:|---|--:|--:|--:|--:|--:|--:|\n")
	for _, c := range []maglevCase{
		{3, 1, 0.001, nil}, {3, 1, 0.001, uneven}, {10, 1, 0.01, nil}, {10, 1, 0.01, uneven}, {100, 1, 0.01, nil}, {100, 5, 0.01, nil},
		{100, 1, 0.01, uneven}, {655, 1, 0.01, nil}, {1000, 1, 0.01, nil}, {1000, 5, 0.01, nil},
	} {
		seeds, shares := c.make()
		slots := maglevSlots(seeds, shares, c.size())
		least, greatest := spread(slots, shares)
		mean, worst := c.disrupt(seeds, shares, slots)
		weights := "equal"
		if c.weights != nil {
			weights = strings.Trim(strings.ReplaceAll(fmt.Sprint(c.weights), " ", ", "), "[]") + " …"
		}
		fmt.Fprintf(&page, "| %d | %s | %d | %.4f | %.4f | %d | %.2f %% | %.2f %% |\n", c.servers, weights, c.size(), least, greatest, c.gone, 100*mean, 100*worst)
		if least < 0.99 || greatest > 1.01 {
			t.Errorf("%d servers, weights %s: shares are %.4f to %.4f of what they should be, want within 1 %%", c.servers, weights, least, greatest)
		}
		if worst > c.needles {
			t.Errorf("%d servers, weights %s, %d leave: %.2f %% of the slots change hands needlessly, want %.2f %% at most", c.servers, weights, c.gone, 100*worst, 100*c.needles)
		}
	}
	const file, begin, end = "../docs/maglev.md", "<!-- figures -->\n", "<!-- /figures -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(text), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s: no %q and %q", file, begin, end)
	}
	switch {
	case *update:
		if err := os.WriteFile(file, []byte(head+begin+page.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	case old != page.String():
		t.Errorf("%s is not what this test finds: run it with -update\n%s", file, page.String())
	}
}

// Balancers that share an address know their servers in whatever order.
func TestMaglevDoesNotDependOnOrder(t *testing.T) {
	seeds, shares := maglevCase{servers: 20, weights: []float64{1, 3}}.make()
	slots := maglevSlots(seeds, shares, maglevSize)
	turned := maglevSlots(backwards(seeds), backwards(shares), maglevSize)
	for slot, i := range slots {
		if seeds[i] != backwards(seeds)[turned[slot]] {
			t.Fatalf("slot %d is another server's when the servers stand in another order", slot)
		}
	}
}

func backwards[T any](in []T) []T {
	out := slices.Clone(in)
	slices.Reverse(out)
	return out
}

// A hash pick gives a client the same server each time, moves nobody whose server
// stays (maglev: hardly anybody) when one leaves, and brings its clients back with it.
func TestHashPicksKeepClients(t *testing.T) {
	for pick, most := range map[string]float64{Maglev: 0.02, Hash: 0} {
		random := seeded()
		all := testTable(pick, random, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1)
		without := newTable(table{picker: pickers[pick](sources{}), candidates: slices.Delete(slices.Clone(all.candidates), 4, 5)})
		const clients = 5000
		moved := 0.0
		for range clients {
			f := someClient(random)
			was := all.pick(f)
			f.client = netipPort(f, 4711) // another port: the same client
			if again := all.again().pick(f); again != was {
				t.Fatalf("%s: %v went to %s, then to %s", pick, f.client, was.address, again.address)
			}
			if now := without.pick(f); was.address != "4" && now != was {
				moved++
			}
		}
		if moved/clients > most {
			t.Errorf("%s: %.2f %% of the clients moved though their server stayed, want %g %% at most", pick, 100*moved/clients, 100*most)
		}
	}
}

// By connection, one client's connections spread over the servers.
func TestHashByConnection(t *testing.T) {
	for _, pick := range []string{Maglev, Hash} {
		table := *testTable(pick, nil, 1, 1, 1)
		table.whole = true
		f, got := someClient(seeded()), map[string]int{}
		for port := range 300 {
			f.client = netipPort(f, uint16(port))
			got[table.pick(f).address]++
		}
		for _, n := range got {
			if n < 60 || len(got) != 3 {
				t.Errorf("%s: 300 connections of one client went to %v, want about 100 each", pick, got)
			}
		}
	}
}
