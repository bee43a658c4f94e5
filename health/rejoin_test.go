package health

import (
	"math"
	"strings"
	"testing"
	"time"
)

// course evaluates one site again and again, as its one vantage point sees it.
type course struct {
	t         *testing.T
	rejoin    Rejoin
	overrides []Override
	windows   []Window
	prev      *States
	now       time.Time
}

// is advances the time and evaluates.
func (c *course) is(after time.Duration, letter string) Status {
	c.now = c.now.Add(after)
	c.prev = Evaluate(Input{
		Sites: []string{"kt"}, Votes: votes("kt", letter), Overrides: c.overrides, Prev: c.prev, Now: c.now,
		Rejoin: map[string]Rejoin{"kt": c.rejoin}, Maintenance: map[string][]Window{"kt": c.windows},
	})
	return c.prev.Site("kt")
}

// next evaluates at the time that the States themselves named.
func (c *course) next(letter string) Status {
	c.t.Helper()
	if c.prev.Next.IsZero() || !c.prev.Next.After(c.now) {
		c.t.Fatalf("at %v: next is %v", c.now, c.prev.Next)
	}
	return c.is(c.prev.Next.Sub(c.now), letter)
}

func TestFailbackAndSlowStart(t *testing.T) {
	c := &course{t: t, now: noon, rejoin: Rejoin{Wait: 10 * time.Minute, SlowStart: 5 * time.Minute}}
	if s := c.is(0, "U"); s.Held != "" || s.Withheld != 0 || !s.InService() {
		t.Fatalf("at the start: %+v", s)
	}
	if s := c.is(time.Minute, "D"); s.InService() || s.Held != "" {
		t.Fatalf("down: %+v", s)
	}
	s := c.is(time.Minute, "U")
	if s.State != Up || s.InService() || !strings.Contains(s.Held, "failback") || !s.HeldUntil.Equal(c.now.Add(10*time.Minute)) || !strings.Contains(s.Why, "held") {
		t.Fatalf("up again: %+v", s)
	}
	if s = c.is(9*time.Minute+59*time.Second, "U"); s.InService() {
		t.Fatalf("a second early: %+v", s)
	}
	s = c.next("U")
	if !s.InService() || math.Abs(s.Withheld-0.95) > 1e-9 {
		t.Fatalf("slow start: %+v", s)
	}
	began, share := c.now, s.Withheld
	for n := 2; n < 20; n++ {
		s = c.next("U")
		if want := 1 - float64(n)/20; math.Abs(s.Withheld-want) > 1e-9 || s.Withheld >= share {
			t.Fatalf("step %d after %v: %v is withheld, want %v", n, c.now.Sub(began), s.Withheld, want)
		}
		share = s.Withheld
	}
	if s = c.next("U"); s.Withheld != 0 || !c.prev.Next.IsZero() {
		t.Fatalf("all of it: %+v, next %v", s, c.prev.Next)
	}
	if d := c.now.Sub(began); d > 5*time.Minute || d < 4*time.Minute {
		t.Errorf("it took %v", d)
	}
}

// A fall while it waits or starts slowly begins all anew.
func TestFallsAgain(t *testing.T) {
	c := &course{t: t, now: noon, rejoin: Rejoin{Wait: time.Minute, SlowStart: time.Minute}}
	c.is(0, "U")
	c.is(time.Second, "D")
	c.is(time.Second, "U")
	c.is(90*time.Second, "U")
	if s := c.is(time.Second, "D"); s.Withheld != 0 || s.Held != "" {
		t.Fatalf("down: %+v", s)
	}
	if s := c.is(time.Second, "U"); s.Held == "" || !s.HeldUntil.Equal(c.now.Add(time.Minute)) {
		t.Fatalf("up again: %+v", s)
	}
}

// What an operator orders beats the wait, and does not count as a fall.
func TestOrdersBeatTheWait(t *testing.T) {
	c := &course{t: t, now: noon, rejoin: Rejoin{Wait: time.Hour, FlapLimit: 2, FlapHalf: time.Hour}}
	c.is(0, "U")
	for range 5 {
		c.overrides = order(ForceDown, time.Time{})
		c.is(time.Second, "U")
		c.overrides = order(ForceUp, time.Time{})
		if s := c.is(time.Second, "D"); !s.InService() || s.Withheld != 0 {
			t.Fatalf("forced up: %+v", s)
		}
	}
	c.overrides = nil
	if s := c.is(time.Second, "U"); !s.InService() {
		t.Fatalf("taken back while it is up: %+v", s)
	}
}

// A site that falls again and again is held until its falls have faded.
func TestFlapping(t *testing.T) {
	c := &course{t: t, now: noon, rejoin: Rejoin{FlapLimit: 3, FlapHalf: 10 * time.Minute}}
	c.is(0, "U")
	for i := range 4 {
		c.is(10*time.Second, "D")
		s := c.is(10*time.Second, "U")
		// The fourth fall reaches 3: those before it have faded a little by then.
		if flaps := i == 3; flaps != !s.InService() || flaps != strings.Contains(s.Held, "flapping") {
			t.Fatalf("fall %d: %+v", i+1, s)
		}
	}
	held := c.now
	s := c.next("U")
	if !s.InService() || s.Held != "" {
		t.Fatalf("after %v: %+v", c.now.Sub(held), s)
	}
	// From a little under 4 to half of 3: a bit more than one half-life.
	if d := c.now.Sub(held); d < 10*time.Minute || d > 15*time.Minute {
		t.Errorf("held for %v", d)
	}
	c.is(10*time.Second, "D")
	if s = c.is(10*time.Second, "U"); !s.InService() {
		t.Errorf("one fall more, at 2.5: %+v", s)
	}
}

// A process that never saw it down does not hold it.
func TestNoWaitAtStart(t *testing.T) {
	for _, first := range []string{"U", "?", ""} {
		c := &course{t: t, now: noon, rejoin: Rejoin{Wait: time.Hour, SlowStart: time.Hour}}
		c.is(0, first)
		if s := c.is(time.Second, "U"); !s.InService() || s.Withheld != 0 {
			t.Errorf("after %q: %+v", first, s)
		}
	}
}

func TestShareOrder(t *testing.T) {
	c := &course{t: t, now: noon}
	c.overrides = []Override{{Site: "kt", Kind: Share, Who: "kim", Why: "new servers", Since: noon, From: 1, Share: 0.2, Over: 20 * time.Minute}}
	if s := c.is(0, "U"); math.Abs(s.Withheld-0.04) > 1e-9 || !s.InService() || !strings.Contains(s.Why, "96 %") {
		t.Errorf("first step: %v %s", s.Withheld, s.Why)
	}
	for !c.prev.Next.IsZero() {
		c.next("U")
	}
	if s := c.prev.Site("kt"); math.Abs(s.Withheld-0.8) > 1e-9 || c.now.Sub(noon) > 20*time.Minute {
		t.Errorf("at the end, after %v: %v", c.now.Sub(noon), s.Withheld)
	}
	if s := c.is(time.Minute, "D"); s.State != Down {
		t.Errorf("an order for a share keeps nobody up: %+v", s)
	}
	c.overrides[0].Share, c.overrides[0].From, c.overrides[0].Over = math.NaN(), math.Inf(1), 0
	if s := c.is(time.Minute, "U"); s.Withheld != 1 {
		t.Errorf("nonsense in etcd: %v is withheld", s.Withheld)
	}
}

// Away adds up as one after the other.
func TestAway(t *testing.T) {
	if a := (Status{Shed: 0.5, Withheld: 0.5}).Away(); a != 0.75 {
		t.Error(a)
	}
}

func TestMaintenance(t *testing.T) {
	seoul, err := time.LoadLocation("Asia/Seoul")
	if err != nil {
		t.Skip(err)
	}
	weekly := Window{Days: []time.Weekday{time.Saturday, time.Sunday}, Hour: 23, Zone: seoul, For: 2 * time.Hour, Why: "backup"}
	at := func(text string) time.Time {
		m, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, tc := range []struct {
		name   string
		w      Window
		now    string
		open   bool
		change string // "": never
	}{
		{"before once", Window{From: at("2026-12-01T02:00:00Z"), For: time.Hour}, "2026-11-30T02:00:00Z", false, "2026-12-01T02:00:00Z"},
		{"its first moment", Window{From: at("2026-12-01T02:00:00Z"), For: time.Hour}, "2026-12-01T02:00:00Z", true, "2026-12-01T03:00:00Z"},
		{"its end", Window{From: at("2026-12-01T02:00:00Z"), For: time.Hour}, "2026-12-01T03:00:00Z", false, ""},
		{"a Friday in Seoul", weekly, "2026-11-27T14:30:00Z", false, "2026-11-28T14:00:00Z"},
		{"Saturday night there, day here", weekly, "2026-11-28T14:30:00Z", true, "2026-11-28T16:00:00Z"},
		{"past midnight there", weekly, "2026-11-28T15:59:59Z", true, "2026-11-28T16:00:00Z"},
		{"Monday there", weekly, "2026-11-29T16:00:00Z", false, "2026-12-05T14:00:00Z"},
		{"a whole week", Window{Days: []time.Weekday{time.Monday}, Zone: time.UTC, For: MaxWindow}, "2026-11-29T16:00:00Z", true, "2026-11-30T00:00:00Z"},
	} {
		open, change := tc.w.at(at(tc.now))
		want := time.Time{}
		if tc.change != "" {
			want = at(tc.change)
		}
		if open != tc.open || !change.Equal(want) {
			t.Errorf("%s: %v until %v, want %v until %v", tc.name, open, change, tc.open, want)
		}
	}
	c := &course{t: t, now: at("2026-11-28T13:59:00Z"), windows: []Window{weekly}}
	if s := c.is(0, "U"); s.Draining {
		t.Errorf("early: %+v", s)
	}
	if s := c.next("U"); !s.Draining || s.InService() || s.State != Up || !strings.Contains(s.Why, "in maintenance until 2026-11-28T16:00:00Z (backup)") {
		t.Errorf("in it: %+v", s)
	}
	c.overrides = order(ForceUp, time.Time{})
	if s := c.is(0, "U"); s.Draining {
		t.Errorf("forced up: %+v", s)
	}
	c.overrides = nil
	if s := c.is(2*time.Hour, "U"); s.Draining {
		t.Errorf("after it: %+v", s)
	}
}
