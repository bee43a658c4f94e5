package differential

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gslb/test/bed"
)

const (
	leastPairs = 5000 // of question and zone
	askers     = 6    // at the same time
	mostShown  = 25   // unexplained differences
)

// tally counts the differences that were seen.
type tally struct {
	mu        sync.Mutex
	explained map[string]int // by id; guarded by mu
	against   [2]int         // unexplained: of two of the others, of all three; guarded by mu
	shown     []string       // guarded by mu
}

// compare looks at each part of the answers.
func (ta *tally) compare(peers []*peer, c comparison) {
	for _, part := range parts {
		c.part = part
		majority, all := c.against()
		if !majority {
			continue
		}
		id := c.explained()
		ta.mu.Lock()
		switch {
		case id != "":
			ta.explained[id]++
		default:
			n, whom := 0, "at least two"
			if all {
				n, whom = 1, "all three"
			}
			ta.against[n]++
			if len(ta.shown) < mostShown || os.Getenv("GSLB_DIFFERENTIAL_ALL") != "" {
				ta.shown = append(ta.shown, fmt.Sprintf("against %s of the others, %s", whom, c.report(peers)))
			}
		}
		ta.mu.Unlock()
	}
}

// TestAnswersAgree asks gslb, NSD, Knot DNS and BIND the same and compares the
// answers; what differs must be in the list of explained differences, and what
// is in the list must be seen.
func TestAnswersAgree(t *testing.T) {
	bed.Long(t)
	zones := append(handMade(t), generated(t, t.TempDir())...)
	peers := startPeers(t, zones)
	ta := &tally{explained: map[string]int{}}
	asked := askPairs(t, peers, zones, ta)
	oddOnes := askOdd(t, peers, zones, ta)
	for _, s := range ta.shown {
		t.Error(s)
	}
	if n := ta.against[0] + ta.against[1]; n > 0 {
		t.Errorf("%d unexplained differences (against all three: %d); GSLB_DIFFERENTIAL_ALL=1 shows more than %d", n, ta.against[1], mostShown)
	}
	ta.notSeen(t, plain)
	if asked < leastPairs {
		t.Errorf("only %d questions were asked: at least %d", asked, leastPairs)
	}
	t.Logf("%d zones, %d questions and %d odd messages; explained differences by id: %v", len(zones), asked, oddOnes, ta.explained)
}

// askPairs asks all questions in all ways and gives how many there were.
func askPairs(t *testing.T, peers []*peer, zones []*zone, ta *tally) int {
	t.Helper()
	type numbered struct {
		pair
		n int
	}
	work := make(chan numbered)
	var wg sync.WaitGroup
	failed := make(chan error, askers)
	for range askers {
		wg.Go(func() {
			a, err := newAsker(peers)
			if err != nil {
				failed <- err
				return
			}
			defer a.Close()
			for p := range work {
				if err := a.askPair(p.pair, p.n, zones, ta); err != nil {
					failed <- fmt.Errorf("%s %d of zone %s: %w", p.name, p.rr, p.zone.origin, err)
					return
				}
			}
		})
	}
	var err error
	n := 0
feed:
	for _, z := range zones {
		for _, p := range pairsOf(z, extraOf(z)) {
			select {
			case work <- numbered{p, n}:
				n++
			case err = <-failed:
				break feed
			}
		}
	}
	close(work)
	wg.Wait()
	close(failed)
	for e := range failed {
		err = e
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// extraOf is how many absent types each name is asked for: hand-made zones are looked at closely.
func extraOf(z *zone) int {
	if strings.HasPrefix(filepath.Base(filepath.Dir(z.file)), "testdata") {
		return 3
	}
	return 2
}

func (a *asker) askPair(p pair, n int, zones []*zone, ta *tally) error {
	var whole *answer // gslb's over TCP, which is the first way
	for i, w := range waysOf(n) {
		raw, err := a.ask(w.network, w.message(p, uint16(n*8+i)))
		if err != nil {
			return err
		}
		c := comparison{zones: zones, pair: p, way: w, answers: make([]*answer, len(raw))}
		for j := range raw {
			c.answers[j] = take(raw[j], a.peers[j].adorns)
		}
		if i == 0 {
			whole = c.gslb()
		}
		c.whole = whole
		if err := wellFormed(c.gslb(), whole, w); err != nil {
			ta.fail(fmt.Sprintf("gslb: %v\n%s", err, c.report(a.peers)))
		}
		ta.compare(a.peers, c)
	}
	return nil
}

func (ta *tally) fail(s string) {
	ta.mu.Lock()
	defer ta.mu.Unlock()
	ta.against[1]++
	if len(ta.shown) < mostShown {
		ta.shown = append(ta.shown, s)
	}
}
