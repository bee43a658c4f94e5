package health

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Known tells whether k is an order that this version understands.
func (k OverrideKind) Known() bool { return k == Drain || k == ForceUp || k == ForceDown || k == Share }

// judge walks the truth table at Evaluate and says in one sentence what decided.
func (e *evidence) judge(quorum Quorum) (State, string) {
	if o := e.override; o != nil {
		switch o.Kind {
		case ForceDown:
			return Down, "forced down " + o.words()
		case ForceUp:
			return Up, "forced up " + o.words()
		}
	}
	state, why := e.observed(quorum)
	if o := e.override; o != nil && o.Kind == Drain {
		why = "draining " + o.words() + "; " + why
	}
	return state, why
}

// observed is the verdict without overrides.
func (e *evidence) observed(quorum Quorum) (State, string) {
	healthy, total, reporters := e.servers()
	if total > 0 && healthy == 0 {
		return Down, fmt.Sprintf("none of %s healthy, as %s", plural(total, "server is", "servers is"), sayers(reporters, "balancer"))
	}
	t := e.tally()
	half := total > 0 && 2*healthy < total
	fewHealthy := fmt.Sprintf("only %d of %s healthy", healthy, plural(total, "server is", "servers are"))
	switch {
	case t.count == 0 && total == 0:
		return Unknown, "no live vantage point has a verdict" + t.footnote()
	case t.count == 0 && half:
		return Degraded, fewHealthy + ", and no live vantage point has a verdict" + t.footnote()
	case t.count == 0:
		return Up, fmt.Sprintf("%d of %s healthy, and no live vantage point has a verdict%s",
			healthy, plural(total, "server is", "servers are"), t.footnote())
	case t.reaches(quorum):
		return Down, t.words(t.down, "down", t.firstDown) + t.footnote()
	case 2*t.up <= t.count:
		return Degraded, fmt.Sprintf("of %s %d say up, %d degraded, %d down: too few for up, no quorum for down",
			plural(t.count, "vantage point", "vantage points"), t.up, t.count-t.up-t.down, t.down) + detail(t.firstDown) + t.footnote()
	case half:
		return Degraded, fewHealthy + "; " + t.words(t.up, "up", nil)
	case t.down > 0:
		return Up, t.words(t.up, "up", nil) + ", no quorum for down" + detail(t.firstDown) + t.footnote()
	}
	return Up, t.words(t.up, "up", nil) + t.footnote()
}

// tally is the count of the votes on one site.
type tally struct {
	count, up, down int   // count: votes with a verdict, blind ones left out
	firstDown       *Vote // the first that says down, for its detail
	discounted      []string
}

func (e *evidence) tally() tally {
	var t tally
	for i, v := range e.votes {
		switch {
		case v.State == Unknown:
			continue
		case e.blind[v.Vantage]:
			t.discounted = append(t.discounted, v.Vantage)
			continue
		case v.State == Up:
			t.up++
		case v.State == Down:
			t.down++
			if t.firstDown == nil {
				t.firstDown = &e.votes[i]
			}
		}
		t.count++
	}
	return t
}

// reaches tells whether the votes for down take the site out:
//
//	quorum                     down votes needed
//	a count                    so many, or all where fewer count
//	none, or not a number      more than half
//	0 < share < 1              at least that share, and at least one
//	share 1, and beyond        all
//
// A share is forgiven its third digit: who writes 0.67 means two of three.
func (t tally) reaches(q Quorum) bool {
	switch {
	case q.Count > 0:
		return t.down >= min(q.Count, t.count)
	case !(q.Share > 0):
		return 2*t.down > t.count
	case q.Share >= 1:
		return t.down == t.count
	}
	return t.down > 0 && float64(t.down)/float64(t.count) >= q.Share-0.005
}

func (t tally) words(n int, verdict string, v *Vote) string {
	verb := "say"
	if n == 1 {
		verb = "says"
	}
	return fmt.Sprintf("%d of %s %s %s", n, plural(t.count, "vantage point", "vantage points"), verb, verdict) + detail(v)
}

// footnote names the vantage points that were not counted.
func (t tally) footnote() string {
	if len(t.discounted) == 0 {
		return ""
	}
	return fmt.Sprintf("; discounted: %s (sees every site down, others do not)", strings.Join(t.discounted, ", "))
}

// servers adds up the reports. reporters are the balancers that have any server.
func (e *evidence) servers() (healthy, total int, reporters []string) {
	for _, r := range e.reports {
		if r.Total == 0 {
			continue
		}
		healthy, total = addInt(healthy, r.Healthy), addInt(total, r.Total)
		reporters = append(reporters, r.Node)
	}
	return healthy, total, reporters
}

// load is the site's load and its capacity in the same units. The capacity is
// the sum that the balancers state; if one that has servers states none, the sum
// would be too small, and the configured capacity counts. 0: not known.
func (e *evidence) load(configured float64) (load, capacity float64) {
	stated := true
	for _, r := range e.reports {
		load = sane(load + r.Load)
		capacity = sane(capacity + r.Capacity)
		stated = stated && (r.Capacity > 0 || r.Total == 0 && r.Load == 0)
	}
	if !stated || capacity == 0 {
		capacity = sane(configured)
	}
	return load, capacity
}

// words says who ordered an override, why and until when.
func (o *Override) words() string {
	var b strings.Builder
	fmt.Fprintf(&b, "by %s", orDefault(o.Who, "an unnamed operator"))
	if o.Why != "" {
		fmt.Fprintf(&b, " (%s)", clip(o.Why))
	}
	if !o.Until.IsZero() {
		fmt.Fprintf(&b, " until %s", o.Until.UTC().Format(time.RFC3339))
	}
	return b.String()
}

func detail(v *Vote) string {
	if v == nil || v.Detail == "" {
		return ""
	}
	return fmt.Sprintf(" (%s: %s)", v.Vantage, clip(v.Detail))
}

func sayers(names []string, noun string) string {
	if len(names) == 1 {
		return fmt.Sprintf("%s %s reports", noun, names[0])
	}
	return fmt.Sprintf("%d %ss report", len(names), noun)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

// clip bounds words that came from elsewhere: Why is one sentence, and stands in
// logs and answers of the API.
func clip(s string) string {
	const bound = 160
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= bound {
		return s
	}
	for i := range s {
		if i > bound {
			return s[:i] + "…"
		}
	}
	return s
}

// sane makes a number from outside one that can be added and divided: what is
// negative or not a number is nothing, what is infinite is merely huge.
func sane(f float64) float64 {
	switch {
	case !(f > 0):
		return 0
	case f > math.MaxFloat32:
		return math.MaxFloat32
	}
	return f
}

// addInt adds counts that came from outside, without overflow.
func addInt(a, b int) int {
	if b > math.MaxInt32-a {
		return math.MaxInt32
	}
	return a + b
}
