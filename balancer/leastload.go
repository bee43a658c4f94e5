package balancer

// A scorer puts a number on a candidate: the least is the best to pick.
type scorer interface {
	score(c *candidate) float64
}

// inFlight scores by connections in flight over size, as this balancer itself
// counts them: no report can be older than that.
type inFlight struct{}

func (inFlight) score(c *candidate) float64 { return c.score() }

// leastConnections picks the server with the fewest connections in flight over
// its weight, of all. It is the best there is where one balancer sees all traffic.
type leastConnections struct {
	random func() uint64
}

func (l leastConnections) pick(t *table, _ flow) *server {
	return leastOfAll(t, l.random, inFlight{})
}

// leastLoad picks by connections in flight over capacity, of two.
type leastLoad struct {
	random func() uint64
}

func (l leastLoad) pick(t *table, _ flow) *server {
	return betterOfTwo(t, l.random, inFlight{})
}

// few is the number of candidates up to which betterOfTwo looks at all of them.
const few = 4

// betterOfTwo takes the better of two candidates that it draws by share (power of two choices;
// Mitzenmacher, 2001): nearly as good as the best of all, and when several
// balancers pick, they do not all run to the same server. Of a few it takes the best.
func betterOfTwo[S scorer](t *table, random func() uint64, by S) *server {
	if len(t.candidates) <= few {
		return leastOfAll(t, random, by)
	}
	a, b := draw(t, random), draw(t, random)
	if a == b {
		b = draw(t, random) // once more; the same again is an outcome too
	}
	if by.score(b) < by.score(a) {
		a = b
	}
	return a.server
}

// leastOfAll looks at all candidates, but a server in slow start only takes
// part in as large a share of the picks as its ramp: it is nearly idle, and
// would win every pick until its connections are up to the others'.
func leastOfAll[S scorer](t *table, random func() uint64, by S) *server {
	var best, resting *candidate
	var bestScore, restingScore float64
	n := len(t.candidates)
	first := int(unit(random()) * float64(n)) // equals share: no server is first always
	for i := range n {
		at := first + i
		if at >= n {
			at -= n
		}
		c := &t.candidates[at]
		score := by.score(c)
		if c.ramp < 1 && unit(random()) >= c.ramp {
			if resting == nil || score < restingScore {
				resting, restingScore = c, score
			}
		} else if best == nil || score < bestScore {
			best, bestScore = c, score
		}
	}
	if best == nil {
		best = resting // all are in slow start
	}
	return best.server
}

// draw returns a candidate at random, in proportion to share.
func draw(t *table, random func() uint64) *candidate {
	low, high := 0, len(t.candidates)-1
	at := unit(random()) * t.candidates[high].upto
	for low < high { // sort.Search would cost a call for each step
		middle := int(uint(low+high) / 2)
		if t.candidates[middle].upto > at {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return &t.candidates[low]
}
