package history

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := NewPace(3, time.Minute)
	n := 0
	happen := func() string {
		n++
		return texts(p.Take(Event{Kind: KindBalancer, Site: "kt", Text: fmt.Sprint(n)}, now))
	}
	for _, step := range []struct {
		name  string
		after time.Duration
		want  string // "": nothing is written; "flush …": Flush writes that
	}{
		{"a burst", 0, "1"}, {"", 0, "2"}, {"", 0, "3"},
		{"no room", 0, ""}, {"", time.Second, ""},
		{"room for one is for those left out", 59 * time.Second, ""},
		{"which Flush tells", 0, "flush 3 events are left out here; the last: 6"},
		{"one left out is told as it is", 0, ""},
		{"", time.Minute, "flush 7"},
		{"left out before one that is written", 0, ""},
		{"", 2 * time.Minute, "8 9"},
		{"the burst fills up and no further", time.Hour, "10"}, {"", 0, "11"}, {"", 0, "12"}, {"", 0, ""},
		{"a clock that is set back gives no room", -time.Hour, ""},
	} {
		now = now.Add(step.after)
		got := ""
		if want, flush := strings.CutPrefix(step.want, "flush "); flush {
			if next := p.Next(now); next.After(now) {
				t.Errorf("%s: to be flushed at %v, it is %v", step.name, next, now)
			}
			step.want, got = want, texts(p.Flush(now))
			if next := p.Next(now); !next.IsZero() {
				t.Errorf("%s: to be flushed again at %v", step.name, next)
			}
		} else {
			got = happen()
		}
		if got != step.want {
			t.Errorf("%s: event %d writes %q, want %q", step.name, n, got, step.want)
		}
	}
	if next := p.Next(now); next.Before(now) || next.After(now.Add(time.Minute)) {
		t.Errorf("what is left out is told at %v, it is %v", next, now)
	}
}

func texts(all []Event) string {
	var out []string
	for _, e := range all {
		out = append(out, e.Text)
	}
	return strings.Join(out, " ")
}
