// Package agent is what runs on a real server and says how much load that can
// take: it reads figures of the machine and one of the application, makes a share
// of the server's weight of them, and answers whoever connects with a line of
// HAProxy's agent-check protocol (its configuration manual, "agent-check"). The
// other side is the check type agent of health/probe.
//
// A line is "up ready 75%", "drain", "maint" or "down#why"; behind a "#" follow a
// sequence number, the time, and the figures. The number rises with each reading
// of the figures, not with each answer: one that stands still tells that nobody
// reads them any more.
package agent

import (
	"fmt"
	"strconv"
	"strings"
)

// Range is where a figure begins to count and where it is at its worst.
type Range struct {
	From, To float64
	Set      bool
}

// ParseRange reads "FROM:TO", such as "0.7:0.95".
func ParseRange(s string) (Range, error) {
	from, to, ok := strings.Cut(s, ":")
	a, err1 := strconv.ParseFloat(from, 64)
	b, err2 := strconv.ParseFloat(to, 64)
	if !ok || err1 != nil || err2 != nil || !(a >= 0 && b > a) {
		return Range{}, fmt.Errorf("%q: must be FROM:TO with TO above FROM, such as 0.7:0.95", s)
	}
	return Range{a, b, true}, nil
}

// share is what is left of the weight: 1 up to From, then less, in a straight line, down
// to least at To and beyond.
func (r Range) share(figure, least float64) float64 {
	if !r.Set || figure <= r.From {
		return 1
	}
	return max(least, 1-(1-least)*(figure-r.From)/(r.To-r.From))
}

// Rules make a share of the figures: the least that one of them leaves.
type Rules struct {
	CPU, Memory, Queue, Connections, App Range
	Least                                float64 // 0 to 1; never less
}

func (r *Rules) share(f *Figures) float64 {
	share := 1.0
	for _, x := range []struct {
		Range
		figure float64
	}{{r.CPU, f.CPU}, {r.Memory, f.Memory}, {r.Queue, f.Queue}, {r.Connections, f.Connections}, {r.App, f.App}} {
		share = min(share, x.share(x.figure, r.Least))
	}
	return share
}
