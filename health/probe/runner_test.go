package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gslb/health"
)

// wire is a network of servers that a test breaks and mends.
type wire struct {
	mu     sync.Mutex
	faults map[string]error         // by address; nil: healthy
	delay  map[string]time.Duration // how long a probe takes
	starts map[string][]time.Time
	under  int
	most   int // probes under way at once
}

func newWire() *wire {
	return &wire{faults: map[string]error{}, delay: map[string]time.Duration{}, starts: map[string][]time.Time{}}
}

func (w *wire) set(address string, fault error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[address] = fault
}

func (w *wire) probes(address string) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.starts[address])
}

// probe is a Prober's Probe against address.
func (w *wire) probe(ctx context.Context, address string) error {
	w.mu.Lock()
	w.starts[address] = append(w.starts[address], time.Now())
	w.under++
	w.most = max(w.most, w.under)
	delay := w.delay[address]
	w.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.under--
	return w.faults[address]
}

type proberFunc func(context.Context) error

func (f proberFunc) Probe(ctx context.Context) (Seen, error) { return Seen{}, f(ctx) }

// runner returns a Runner on w, and the list that it tells its Transitions to.
func (w *wire) runner() (*Runner, *tape) {
	r := NewRunner(nil)
	r.random = rand.New(rand.NewPCG(1, 2)).Float64 // always called with r.mu held
	r.build = func(c Config, target Target, _ *means) (Prober, error) {
		if c.CA != "" {
			return nil, fmt.Errorf("check of %s: ca %s: is not there", target, c.CA)
		}
		return proberFunc(func(ctx context.Context) error { return w.probe(ctx, target.Address) }), nil
	}
	return r, &tape{}
}

// tape records Transitions.
type tape struct {
	mu  sync.Mutex
	all []Transition
}

func (p *tape) on(t Transition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, t)
}

// take returns what was told since the last take, as "name state" in order.
func (p *tape) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var words []string
	for _, t := range p.all {
		words = append(words, t.Target.Name+" "+t.State.String())
	}
	p.all = nil
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// start runs r until the returned function is called.
func start(r *Runner, on func(Transition)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, on) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			panic(err)
		}
	}
}

func check(name, address string, c Config) Check {
	c.Type = "http"
	return Check{Target{name, address}, c}
}

var errRefused = errors.New("connect to a:80: connection refused")

func TestRunnerVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, tape := w.runner()
		c := Config{Interval: time.Second, Rise: 2, Fall: 3}
		if err := r.Set([]Check{check("kt", "a:80", c), check("lgu", "b:80", c)}); err != nil {
			t.Fatal(err)
		}
		w.set("b:80", errRefused)
		if got := r.Results(); len(got) != 2 || got[0].State != health.Unknown || got[0].Detail != "not probed yet" || !got[0].At.IsZero() {
			t.Errorf("before Run: %+v", got)
		}
		stop := start(r, tape.on)
		defer stop()

		time.Sleep(1100 * time.Millisecond)
		if got := tape.take(); got != "kt up" {
			t.Errorf("after the first probe: %q, want kt up", got)
		}
		time.Sleep(3 * time.Second)
		if got := tape.take(); got != "lgu down" {
			t.Errorf("after three failures: %q, want lgu down", got)
		}

		w.set("a:80", errRefused)
		began := time.Now()
		time.Sleep(3 * time.Second) // fall intervals at most
		synctest.Wait()
		tape.mu.Lock()
		if len(tape.all) != 1 || tape.all[0].State != health.Down || tape.all[0].Detail != errRefused.Error() || tape.all[0].At.Before(began) {
			t.Errorf("failure: %+v", tape.all)
		}
		tape.mu.Unlock()
		tape.take()

		w.set("a:80", nil)
		w.set("b:80", nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := tape.take(); got != "kt up, lgu up" {
			t.Errorf("recovery: %q", got)
		}
		for _, res := range r.Results() {
			if res.State != health.Up || !strings.HasPrefix(res.Detail, "ok in ") || res.At.IsZero() || res.Since.IsZero() {
				t.Errorf("result %+v", res)
			}
		}
	})
}

// TestRunnerPace: each check starts within an interval, and then every 0.9 to 1 intervals.
func TestRunnerPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, tape := w.runner()
		var checks []Check
		for i := range 100 {
			checks = append(checks, check("t", fmt.Sprintf("a%d:80", i), Config{Interval: time.Second}))
		}
		checks = append(checks, check("t", "slow:80", Config{Interval: time.Second, Timeout: time.Second}), check("t", "hour:80", Config{Interval: time.Hour}))
		w.delay["slow:80"] = time.Second
		if err := r.Set(checks); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // what was set long before Run is spread all the same
		began := time.Now()
		stop := start(r, tape.on)
		time.Sleep(20 * time.Second)
		stop()
		var buckets [10]int
		for i := range 100 {
			p := w.probes(fmt.Sprintf("a%d:80", i))
			if first := p[0].Sub(began); first > time.Second {
				t.Errorf("check %d: first probe after %v", i, first)
			} else {
				buckets[int(first/(100*time.Millisecond))%10]++
			}
			for j := 1; j < len(p); j++ {
				if d := p[j].Sub(p[j-1]); d < 900*time.Millisecond || d > time.Second {
					t.Errorf("check %d: %v between two probes", i, d)
				}
			}
		}
		if least := slices.Min(buckets[:]); least == 0 {
			t.Errorf("first probes are not spread: %v", buckets)
		}
		slow := w.probes("slow:80")
		for j := 1; j < len(slow); j++ {
			if d := slow[j].Sub(slow[j-1]); d != time.Second {
				t.Errorf("a probe as long as the interval: the next one after %v, want 1s", d)
			}
		}
		if n := len(w.probes("hour:80")); n != 1 {
			t.Errorf("a check each hour: %d probes in 20 s, want the first one within 10 s and no other", n)
		}
	})
}

func TestRunnerShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, tape := w.runner()
		c := Config{Interval: time.Second}
		one, two := check("one", "a:80", c), check("two", "a", c.WithDefaults()) // the same, written otherwise
		other := check("other", "a:80", Config{Interval: time.Second, Path: "/x"})
		if err := r.Set([]Check{one, two}); err != nil {
			t.Fatal(err)
		}
		stop := start(r, tape.on)
		defer stop()
		time.Sleep(10 * time.Second)
		if n := len(w.probes("a:80")) + len(w.probes("a")); n > 12 {
			t.Errorf("%d probes in 10 s for two targets at one address, want those of one", n)
		}
		if got := tape.take(); got != "one up, two up" {
			t.Errorf("told %q", got)
		}

		// A third one joins and is told what is known; one with another path is another probe.
		before := len(r.units)
		three := check("three", "a:80", c)
		if err := r.Set([]Check{one, two, three, other}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := tape.take(); got != "three up" {
			t.Errorf("joined: told %q at once, want three up", got)
		}
		if len(r.units) != before+1 {
			t.Errorf("%d units, want %d", len(r.units), before+1)
		}

		// Who leaves takes nothing from who stays; the last one ends the probe.
		if err := r.Set([]Check{three}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if got := r.Results(); len(got) != 1 || got[0].State != health.Up {
			t.Errorf("results %+v", got)
		}
		if err := r.Set(nil); err != nil {
			t.Fatal(err)
		}
		n := len(w.probes("a:80")) + len(w.probes("a"))
		time.Sleep(5 * time.Second)
		if m := len(w.probes("a:80")) + len(w.probes("a")); m != n || len(r.units) != 0 || len(r.queue) != 0 {
			t.Errorf("removed: %d probes more, %d units, queue of %d", m-n, len(r.units), len(r.queue))
		}
		if got := tape.take(); got != "" {
			t.Errorf("removed: told %q", got)
		}
	})
}

// TestRunnerKeeps: Set leaves what is the same alone, and a changed check starts
// from the verdict of the old one.
func TestRunnerKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.set("a:80", errRefused)
		r, tape := w.runner()
		c := Config{Interval: time.Second}
		up, down := check("up", "b:80", c), check("down", "a:80", c)
		if err := r.Set([]Check{up, down}); err != nil {
			t.Fatal(err)
		}
		stop := start(r, tape.on)
		defer stop()
		time.Sleep(5 * time.Second)
		if got := tape.take(); got != "down down, up up" {
			t.Fatalf("told %q", got)
		}

		before := len(w.probes("b:80"))
		for range 100 { // 100 reloads in ten seconds neither speed up nor starve a check
			if err := r.Set([]Check{up, down}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := len(w.probes("b:80")) - before; n < 9 || n > 12 {
			t.Errorf("%d probes in 10 s of reloads, want about 10", n)
		}

		// The path changes: the target is still down, then up after rise successes.
		w.set("a:80", nil)
		down.Config.Path = "/new"
		if err := r.Set([]Check{up, down}); err != nil {
			t.Fatal(err)
		}
		if got := r.Results()[0]; got.State != health.Down || got.Detail != errRefused.Error() {
			t.Errorf("changed check: %+v", got)
		}
		time.Sleep(4 * time.Second) // rise intervals at most
		if got := tape.take(); got != "down up" {
			t.Errorf("told %q", got)
		}

		// Two targets swap their checks, and one takes another name: the units go on.
		x, y := r.entries[up.Target].unit, r.entries[down.Target].unit
		swapped := []Check{{Target{"up", "b:80"}, down.Config}, {Target{"renamed", "a:80"}, down.Config}}
		if err := r.Set(swapped); err != nil {
			t.Fatal(err)
		}
		if r.entries[Target{"renamed", "a:80"}].unit != y || y.gone || !x.gone {
			t.Errorf("renamed: unit gone %v, the unit left behind gone %v", y.gone, x.gone)
		}
		time.Sleep(3 * time.Second)
		if got := tape.take(); got != "renamed up" {
			t.Errorf("told %q", got)
		}
	})
}

// TestRunnerFaultyChecks: what cannot be made is in the error, and the rest runs.
func TestRunnerFaultyChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, tape := w.runner()
		good := check("good", "a:80", Config{Interval: time.Second})
		if err := r.Set([]Check{good}); err != nil {
			t.Fatal(err)
		}
		stop := start(r, tape.on)
		defer stop()
		time.Sleep(2 * time.Second)
		tape.take()

		broken := good
		broken.Config.CA = "gone.pem"
		err := r.Set([]Check{broken, check("bad", "", Config{}), check("new", "b:80", Config{}), check("new", "b:80", Config{Fall: 7})})
		for _, want := range []string{"check of good at a:80: ca gone.pem", `target "bad": address ""`, "check of new at b:80: is there twice"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %s in it", err, want)
			}
		}
		n := len(w.probes("a:80"))
		time.Sleep(4 * time.Second)
		if len(w.probes("a:80")) < n+3 {
			t.Error("a target whose new check is faulty is not probed on with the old one")
		}
		if got := tape.take(); got != "new up" {
			t.Errorf("told %q", got)
		}
		if got := r.Results(); len(got) != 2 {
			t.Errorf("results %+v", got)
		}
	})
}

// TestRunnerNotProbed: what this machine could not do is no failure, and in the
// end no knowledge.
func TestRunnerNotProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, tape := w.runner()
		if err := r.Set([]Check{check("kt", "a:80", Config{Interval: time.Second, Fall: 3})}); err != nil {
			t.Fatal(err)
		}
		stop := start(r, tape.on)
		defer stop()
		time.Sleep(2 * time.Second)
		tape.take()
		w.set("a:80", fmt.Errorf("%w: too many open files", ErrNotProbed))
		time.Sleep(1900 * time.Millisecond)
		if got := tape.take(); got != "" {
			t.Errorf("told %q after two", got)
		}
		time.Sleep(1200 * time.Millisecond)
		if got := tape.take(); got != "kt unknown" {
			t.Errorf("told %q after three, want kt unknown", got)
		}
		if got := r.Results()[0]; got.State != health.Unknown || got.Detail != "not probed: too many open files" {
			t.Errorf("%+v", got)
		}
		w.set("a:80", nil)
		time.Sleep(1100 * time.Millisecond)
		if got := tape.take(); got != "kt up" {
			t.Errorf("told %q, want kt up", got)
		}
	})
}

// TestRunnerSlowListener: a listener that hangs holds up neither probes nor Set;
// it is told the state as it is when it comes back.
func TestRunnerSlowListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, tape := w.runner()
		release := make(chan struct{})
		first := true
		set := []Check{check("kt", "a:80", Config{Interval: time.Second, Rise: 1, Fall: 1})}
		if err := r.Set(set); err != nil {
			t.Fatal(err)
		}
		stop := start(r, func(tr Transition) {
			if first {
				first = false
				<-release
			}
			tape.on(tr)
		})
		defer stop()
		time.Sleep(2 * time.Second)
		for i := range 5 { // ends down
			w.set("a:80", [...]error{errRefused, nil}[i%2])
			time.Sleep(30 * time.Second)
		}
		if err := r.Set(set); err != nil {
			t.Fatal(err)
		}
		if n := len(w.probes("a:80")); n < 140 {
			t.Errorf("%d probes in 152 s", n)
		}
		close(release)
		synctest.Wait()
		if got := tape.take(); got != "kt down, kt up" {
			t.Errorf("told %q", got)
		}
	})
}

// TestRunnerEnd: Run ends only after its probes, can be called again, and not twice at once.
func TestRunnerEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.delay["a:80"] = time.Second
		r, tape := w.runner()
		if err := r.Set([]Check{check("kt", "a:80", Config{Interval: time.Second, Timeout: time.Second, Fall: 1})}); err != nil {
			t.Fatal(err)
		}
		stop := start(r, tape.on)
		time.Sleep(2500 * time.Millisecond)
		if err := r.Run(t.Context(), tape.on); err == nil {
			t.Error("ran twice at once")
		}
		w.set("a:80", errRefused) // a probe that is cut off must not count as one that failed
		stop()
		if w.under != 0 {
			t.Errorf("%d probes under way after Run", w.under)
		}
		if got := r.Results()[0]; got.State != health.Up {
			t.Errorf("cut off: %+v", got)
		}
		n := len(w.probes("a:80"))
		time.Sleep(5 * time.Second)
		if len(w.probes("a:80")) != n {
			t.Error("probed after Run")
		}
		w.set("a:80", nil)
		stop = start(r, tape.on)
		time.Sleep(5 * time.Second)
		stop()
		if len(w.probes("a:80")) <= n {
			t.Error("no probe in the second run")
		}
		if got := tape.take(); got != "kt up" {
			t.Errorf("told %q", got)
		}
	})
}

// TestRunnerRemoveUnderWay: the probe of a removed check is cut off, and its room free.
func TestRunnerRemoveUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.delay["a:80"] = time.Hour
		r, tape := w.runner()
		r.AtOnce = 1
		if err := r.Set([]Check{check("a", "a:80", Config{Interval: time.Second})}); err != nil {
			t.Fatal(err)
		}
		stop := start(r, tape.on)
		defer stop()
		time.Sleep(2 * time.Second)
		if err := r.Set([]Check{check("b", "b:80", Config{Interval: time.Second})}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if got := tape.take(); got != "b up" {
			t.Errorf("told %q", got)
		}
	})
}

// TestRunnerLate: with more due than fits at once, all get their turn, the
// longest due first, and the log says so once a minute.
func TestRunnerLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, tape := w.runner()
		var out strings.Builder // written under r.mu
		r.log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))
		r.AtOnce = 1
		var checks []Check
		for i := range 5 {
			address := fmt.Sprintf("a%d:80", i)
			w.delay[address] = time.Second
			checks = append(checks, check("t", address, Config{Interval: time.Second, Timeout: time.Second}))
		}
		if err := r.Set(checks); err != nil {
			t.Fatal(err)
		}
		stop := start(r, tape.on)
		time.Sleep(101 * time.Second)
		stop()
		for _, c := range checks {
			if n := len(w.probes(c.Target.Address)); n < 19 || n > 22 {
				t.Errorf("%s: %d probes in 100 s, want a fifth of 100", c.Target.Address, n)
			}
		}
		if w.most != 1 {
			t.Errorf("%d probes at once", w.most)
		}
		if n := strings.Count(out.String(), "probes run late"); n != 2 {
			t.Errorf("%d warnings in 100 s, want one a minute:\n%s", n, out.String())
		}
		out.Reset()
		r.AtOnce = 5
		time.Sleep(time.Hour) // what is due since before Run is not late
		stop = start(r, tape.on)
		time.Sleep(100 * time.Second)
		stop()
		if out.Len() > 0 {
			t.Errorf("warned though nothing was late:\n%s", out.String())
		}
	})
}

// TestRunnerTenThousand: ten thousand checks in time, with bounded probes at once.
func TestRunnerTenThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		var count, under, most atomic.Int64
		r := NewRunner(nil)
		r.build = func(Config, Target, *means) (Prober, error) {
			return proberFunc(func(context.Context) error {
				count.Add(1)
				if u := under.Add(1); u > most.Load() {
					most.Store(u) // racy maximum: off by little, and never above AtOnce
				}
				time.Sleep(20 * time.Millisecond)
				under.Add(-1)
				return nil
			}), nil
		}
		if err := r.Set(manyChecks(n)); err != nil {
			t.Fatal(err)
		}
		told := 0
		stop := start(r, func(Transition) { told++ })
		time.Sleep(6 * time.Second)
		stop()
		if told != n {
			t.Errorf("%d verdicts, want %d", told, n)
		}
		// 6 s at 2 s each, a tenth early at most: 3 to 3.4 probes a check.
		if c := count.Load(); c < 2.9*n || c > 3.5*n {
			t.Errorf("%d probes, want about %d", c, 3*n)
		}
		if m := most.Load(); m > DefaultAtOnce {
			t.Errorf("%d probes at once, want %d at most", m, DefaultAtOnce)
		}
	})
}

func manyChecks(n int) []Check {
	checks := make([]Check, n)
	for i := range checks {
		checks[i] = check(fmt.Sprint("t", i), fmt.Sprintf("10.%d.%d.%d:80", i>>16&255, i>>8&255, i&255), Config{})
	}
	return checks
}
