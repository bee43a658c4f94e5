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

// How many probes a [Runner] has under way at most: as many as its checks would
// need if all of them timed out, within these bounds.
const (
	DefaultAtOnce = 256
	MostAtOnce    = 2048
)

// Check is a target and how it is checked.
type Check struct {
	Target Target
	Config Config
}

// Transition tells that the verdict on a target changed, the content generation
// that it serves, or what its agent wishes.
type Transition struct {
	Target Target
	State  health.State
	Detail string // what the deciding probe saw
	// Generation is the content generation that was seen last; "": none.
	Generation string
	Wish       Wish // of its agent; a Share of 1 and nothing else: none
	At         time.Time
}

// Result is how a target stands.
type Result struct {
	Target Target
	State  health.State
	Detail string        // what the last probe saw
	Since  time.Time     // when State began; zero while it is Unknown
	At     time.Time     // when the last probe ended; zero before the first
	RTT    time.Duration // how long the last probe took
	// Warning is what the last probe saw that a person should look at, though it
	// is no failure: a certificate that ends soon.
	Warning string
	// Generation is the content generation that was seen last, several with commas
	// between them; "": none.
	Generation string
}

// Runner runs checks: each every interval, all with a bounded number of
// goroutines and sockets. Targets whose checks are alike in address and
// configuration share one probe and one verdict.
//
// First probes are spread over an interval (10 s at most), and each later one
// comes up to its jitter early, at random, so that checks of many
// nodes do not fall into step.
//
// With n probes at once that take t each, n/t a second can be done: 10,000 checks each
// 2 s whose targets answer in 20 ms need 100 at once. When it cannot keep up,
// probes run late, the longest due first, and the log says so. Those whose last
// probe took more than a quarter of their timeout have half of the places at most
// where there are not enough for all,
// so that dead targets run late among themselves and hold up nobody else.
//
// A Runner is safe for concurrent use. It is made by [NewRunner].
type Runner struct {
	// AtOnce bounds the probes under way. It may be set before Run; 0 means DefaultAtOnce to MostAtOnce.
	AtOnce int
	// AllowExec lets checks run programs. It may be set before the first Set.
	AllowExec bool
	// Seed makes this node's probes start at other moments than other nodes'. It
	// may be set before the first Set.
	Seed string
	// Board is where push checks look. It may be set before the first Set.
	Board *Board

	log    *slog.Logger
	random func() float64                                     // in [0,1), safe for concurrent use
	build  func(c Config, t Target, m *means) (Prober, error) // newProber, or a test's

	setting sync.Mutex // held by Set: one at a time

	mu      sync.Mutex // guards all below
	units   map[unitKey]*unit
	entries map[Target]*entry
	queue   queue    // units that wait, the next one due first
	news    []*entry // whose verdict may be another than the one told
	memory  *memory  // nil: none
	running bool
	under   int     // probes under way
	lagging int     // of them, those that lag
	parked  []*unit // that lag, are due, and wait for a place
	need    float64 // places that are taken if all probes time out
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
	jitter   time.Duration
	slow     time.Duration // 0: nothing is slow
	fall     int
	target   Target // the first one that it was made for
	config   Config
	prober   Prober // nil: it has parts
	parts    []*unit
	parents  []*unit // that it is a part of
	machine  *health.Machine
	entries  []*entry

	due        time.Time
	index      int                // in the queue; -1: not in it
	cancel     context.CancelFunc // of the probe under way, or nil
	gone       bool               // no target wants it any more
	at         time.Time
	rtt        time.Duration
	trips      trips
	detail     string
	seen       Seen      // by the last probe
	generation string    // that was seen last
	wish       *Wish     // likewise
	report     Report    // the last of its agent that was news
	said       Wish      // with it
	wished     time.Time // when a probe succeeded last
	lags       bool      // is among the lagging while its probe is under way
	missed     int       // probes in a row that this machine could not make
}

// entry is one target as the caller knows it.
type entry struct {
	target         Target
	unit           *unit
	told           health.State // the caller's last Transition; Unknown before the first
	toldGeneration string       // likewise
	toldWish       Wish         // likewise
	queued         bool         // is among the news
	gone           bool
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
	r.need = 0
	for _, u := range r.units {
		r.need += float64(u.config.Timeout) / float64(u.interval)
	}
	poke(r.wake)
	return err
}

// prepare finds or makes the unit of each target. A nil unit: its check is
// faulty, and the target is to be left as it is.
func (r *Runner) prepare(checks []Check) (map[Target]*unit, error) {
	wanted := make(map[Target]*unit, len(checks))
	made := map[unitKey]*unit{}
	m := &means{board: r.Board, exec: r.AllowExec}
	var faults []error
	for _, c := range checks {
		u, err := r.unitOf(c, made, m)
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
func (r *Runner) unitOf(c Check, made map[unitKey]*unit, m *means) (*unit, error) {
	cfg := c.Config.WithDefaults()
	k, _ := kindOf(cfg.Type)
	address := c.Target.Name + " " + c.Target.Address // for what is of the target, not of an address
	if !k.composite && !k.passive {
		var err error
		if address, err = dialAddress(cfg, c.Target); err != nil {
			return nil, err
		}
	}
	key := unitKey{address: address, config: identity(cfg)}
	r.mu.Lock()
	u := r.units[key]
	r.mu.Unlock()
	if u == nil {
		u = made[key]
	}
	if u != nil {
		return u, nil
	}
	u = &unit{
		key: key, target: c.Target, config: cfg, machine: health.NewMachine(cfg.Rise, cfg.Fall),
		interval: max(cfg.Interval, time.Millisecond), jitter: cfg.Jitter, slow: cfg.Slow, fall: max(cfg.Fall, 1),
		index: -1, detail: "not probed yet",
	}
	prober, err := r.build(c.Config, c.Target, m)
	if err != nil {
		return nil, err
	}
	if k.composite {
		for _, part := range cfg.Parts {
			p, err := r.unitOf(Check{c.Target, part}, made, m)
			if err != nil {
				return nil, err
			}
			u.parts = append(u.parts, p)
		}
	} else {
		u.prober = prober
	}
	made[key] = u
	return u, nil
}

// identity is what makes two checks the same: all of the configuration but the
// port, which is in the address, and the name, unless it is asked by that.
func identity(c Config) string {
	var parts []string
	for _, p := range c.Parts {
		p = p.WithDefaults()
		parts = append(parts, fmt.Sprintf("%v %d %s", p.OwnPort, p.Port, identity(p)))
	}
	c.Parts, c.Port, c.OwnPort = nil, 0, false
	if c.Type != "push" {
		c.Name = ""
	}
	return fmt.Sprintf("%+v%q", c, parts)
}

// join makes u the unit of target. r.mu is held.
func (r *Runner) join(target Target, u *unit) {
	e := r.entries[target]
	if e == nil {
		e = &entry{target: target, toldWish: (*Wish)(nil).asks()}
		r.entries[target] = e
	}
	if e.unit == u {
		return
	}
	old := e.unit
	if r.adopt(u) {
		if old != nil {
			u.machine.Restore(old.machine.State(), old.machine.Since(), old.words())
			u.detail = old.words()
		} else {
			r.recall(target, u)
		}
	}
	e.leave()
	e.unit = u
	u.entries = append(u.entries, e)
	r.compose(u)
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
	for _, u := range r.units {
		r.dismiss(u)
	}
}

// dismiss ends u if nobody wants it, and then its parts that nobody else wants.
// r.mu is held.
func (r *Runner) dismiss(u *unit) {
	if u.gone || len(u.entries) > 0 || len(u.parents) > 0 {
		return
	}
	u.gone = true
	delete(r.units, u.key)
	r.dequeue(u)
	if u.cancel != nil {
		u.cancel()
	}
	for _, p := range u.parts {
		p.parents = slices.DeleteFunc(p.parents, func(x *unit) bool { return x == u })
		r.dismiss(p)
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
			Detail: u.words(), At: u.last(), RTT: u.took(), Warning: u.warning(), Generation: u.serves(),
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
