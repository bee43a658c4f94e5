package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"gslb/health"
)

// DefaultAtOnce is how many probes a [Runner] has under way at most.
const DefaultAtOnce = 256

// Check is a target and how it is checked.
type Check struct {
	Target Target
	Config Config
}

// Transition tells that the verdict on a target changed.
type Transition struct {
	Target Target
	State  health.State
	Detail string // what the deciding probe saw
	At     time.Time
}

// Result is how a target stands.
type Result struct {
	Target Target
	State  health.State
	Detail string        // what the last probe saw
	Since  time.Time     // when State began; zero while it is Unknown
	At     time.Time     // when the last probe ended; zero before the first
	RTT    time.Duration // how long the last probe took
}

// Runner runs checks: each every interval, all with a bounded number of
// goroutines and sockets. Targets whose checks are alike in address and
// configuration share one probe and one verdict.
//
// First probes are spread over an interval (10 s at most), and each later one
// comes up to a tenth of the interval early, at random, so that checks of many
// nodes do not fall into step.
//
// With n probes at once that take t each, n/t a second can be done: 10,000 checks each
// 2 s whose targets answer in 20 ms need 100 at once. When it cannot keep up,
// probes run late, the longest due first, and the log says so.
//
// A Runner is safe for concurrent use. It is made by [NewRunner].
type Runner struct {
	// AtOnce bounds the probes under way. It may be set before Run; 0 means DefaultAtOnce.
	AtOnce int

	log    *slog.Logger
	random func() float64                                             // in [0,1), safe for concurrent use
	build  func(c Config, t Target, cas *authorities) (Prober, error) // newProber, or a test's

	setting sync.Mutex // held by Set: one at a time

	mu      sync.Mutex // guards all below
	units   map[unitKey]*unit
	entries map[Target]*entry
	queue   queue    // units that wait, the next one due first
	news    []*entry // whose verdict may be another than the one told
	memory  *memory  // nil: none
	running bool
	under   int // probes under way
	warned  time.Time

	wake chan struct{} // 1 deep: the scheduler looks again
	tell chan struct{} // 1 deep: there are news
}

// unitKey is what makes two checks the same probe.
type unitKey struct {
	address string
	config  string // all of it, written out
}

// unit is one probe that is repeated, for one or several targets.
type unit struct {
	key      unitKey
	interval time.Duration
	fall     int
	prober   Prober
	machine  *health.Machine
	entries  []*entry

	due    time.Time
	index  int                // in the queue; -1: not in it
	cancel context.CancelFunc // of the probe under way, or nil
	gone   bool               // no target wants it any more
	at     time.Time
	rtt    time.Duration
	detail string
	missed int // probes in a row that this machine could not make
}

// entry is one target as the caller knows it.
type entry struct {
	target Target
	unit   *unit
	told   health.State // the caller's last Transition; Unknown before the first
	queued bool         // is among the news
	gone   bool
}

// NewRunner returns a Runner without checks. It starts nothing. A nil log is none.
func NewRunner(log *slog.Logger) *Runner {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Runner{
		log: log, random: rand.Float64, build: newProber,
		units: map[unitKey]*unit{}, entries: map[Target]*entry{},
		wake: make(chan struct{}, 1), tell: make(chan struct{}, 1),
	}
}

// Set makes checks the whole set of checks: what is new starts, what is missing
// stops (without a Transition), what is the same goes on undisturbed, and a
// target whose check changed keeps its verdict until the new check has one. It may
// be called at any time, also before Run.
//
// A check that cannot be made (see [New]) is in the error, all such at once; its
// target goes on as it was before, if it was there. So is a Target that comes twice
// with different configurations: a caller that checks one address in two ways names
// the targets apart.
func (r *Runner) Set(checks []Check) error {
	r.setting.Lock()
	defer r.setting.Unlock()
	wanted, err := r.prepare(checks)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range checks { // in their order, for a run that can be repeated
		if u := wanted[c.Target]; u != nil {
			r.join(c.Target, u)
		}
	}
	for target, e := range r.entries {
		if _, ok := wanted[target]; !ok {
			e.gone = true
			delete(r.entries, target)
			e.leave()
		}
	}
	r.sweep()
	poke(r.wake)
	return err
}

// prepare finds or makes the unit of each target. A nil unit: its check is
// faulty, and the target is to be left as it is.
func (r *Runner) prepare(checks []Check) (map[Target]*unit, error) {
	wanted := make(map[Target]*unit, len(checks))
	made := map[unitKey]*unit{}
	cas := &authorities{}
	var faults []error
	for _, c := range checks {
		u, err := r.unitOf(c, made, cas)
		if before, twice := wanted[c.Target]; twice && before != nil && before != u {
			if err == nil {
				err = fmt.Errorf("check of %s: is there twice, with different configurations", c.Target)
			}
			u = before
		}
		if err != nil {
			faults = append(faults, err)
		}
		wanted[c.Target] = u
	}
	return wanted, errors.Join(faults...)
}

// unitOf returns the unit for c: one that runs, one just made, or a new one.
func (r *Runner) unitOf(c Check, made map[unitKey]*unit, cas *authorities) (*unit, error) {
	cfg := c.Config.WithDefaults()
	address, err := dialAddress(cfg, c.Target)
	if err != nil {
		return nil, err
	}
	cfg.Port = 0 // is in the address
	key := unitKey{address: address, config: fmt.Sprintf("%+v", cfg)}
	r.mu.Lock()
	u := r.units[key]
	r.mu.Unlock()
	if u == nil {
		u = made[key]
	}
	if u != nil {
		return u, nil
	}
	prober, err := r.build(c.Config, c.Target, cas)
	if err != nil {
		return nil, err
	}
	u = &unit{
		key: key, prober: prober, machine: health.NewMachine(cfg.Rise, cfg.Fall),
		interval: max(cfg.Interval, time.Millisecond), fall: max(cfg.Fall, 1),
		index: -1, detail: "not probed yet",
	}
	made[key] = u
	return u, nil
}

// join makes u the unit of target. r.mu is held.
func (r *Runner) join(target Target, u *unit) {
	e := r.entries[target]
	if e == nil {
		e = &entry{target: target}
		r.entries[target] = e
	}
	if e.unit == u {
		return
	}
	old := e.unit
	if r.units[u.key] == nil {
		r.units[u.key] = u
		r.enqueue(u, r.spread(u))
		if old != nil {
			u.machine.Restore(old.machine.State(), old.machine.Since(), old.detail)
			u.detail = old.detail
		} else {
			r.recall(target, u)
		}
	}
	e.leave()
	e.unit = u
	u.entries = append(u.entries, e)
	r.announce(e)
}

// leave takes e off its unit, if it has one.
func (e *entry) leave() {
	if e.unit != nil {
		e.unit.entries = slices.DeleteFunc(e.unit.entries, func(x *entry) bool { return x == e })
	}
}

// sweep ends the units that nobody wants. It comes last in Set, so that a unit
// which passes from one target to another lives on. r.mu is held.
func (r *Runner) sweep() {
	for key, u := range r.units {
		if len(u.entries) > 0 {
			continue
		}
		u.gone = true
		delete(r.units, key)
		r.dequeue(u)
		if u.cancel != nil {
			u.cancel()
		}
	}
}

// Results returns how every target stands, sorted by name and address.
func (r *Runner) Results() []Result {
	return r.results(func(Target) bool { return true })
}

// ResultsOf returns how the targets of one name stand, sorted by address.
func (r *Runner) ResultsOf(name string) []Result {
	return r.results(func(t Target) bool { return t.Name == name })
}

func (r *Runner) results(wanted func(Target) bool) []Result {
	r.mu.Lock()
	out := []Result{}
	for _, e := range r.entries {
		if !wanted(e.target) {
			continue
		}
		u := e.unit
		out = append(out, Result{
			Target: e.target, State: u.machine.State(), Since: u.machine.Since(),
			Detail: u.detail, At: u.at, RTT: u.rtt,
		})
	}
	r.mu.Unlock()
	slices.SortFunc(out, func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.Target.Name, b.Target.Name), cmp.Compare(a.Target.Address, b.Target.Address))
	})
	return out
}

// poke fills a channel that is 1 deep, unless it is full already.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
