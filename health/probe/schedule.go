package probe

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"gslb/health"
)

const (
	maxSpread = 10 * time.Second // the first probe of a long interval is not waited for that long
	warnEvery = time.Minute      // between two warnings that probes run late
)

// Run runs the checks until ctx ends, and returns when the last probe has ended: nil
// then, or at once an error if the Runner runs already. Verdicts and the time-table
// outlive it: Run may be called again.
//
// on is told each change of a verdict, the first one as a change from Unknown. It
// is called by one goroutine, in order for each target, and holds up neither
// the probes nor Set; what changes meanwhile is told once, as it stands then. A target
// that joins one that is probed already is told the verdict at once.
//
// A target that this machine could not probe for fall times in a row becomes Unknown.
//
// Goroutines: Run's own calls on; one, the scheduler, starts what is due; one
// writes the memory, if there is one; and at most AtOnce make one probe each. All have ended when Run returns.
func (r *Runner) Run(ctx context.Context, on func(Transition)) error {
	if err := r.begin(); err != nil {
		return err
	}
	defer r.Board.listen(r)()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.schedule(ctx)
	}()
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		if m := r.remembering(); m != nil {
			r.keep(ctx, m)
		}
	}()
	r.notify(ctx, on)
	<-done
	<-kept
	r.mu.Lock()
	r.running = false
	r.mu.Unlock()
	return nil
}

func (r *Runner) remembering() *memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.memory
}

// begin marks r as running, and spreads what came due before there was anybody
// to run it.
func (r *Runner) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running {
		return errors.New("probe: the Runner runs already")
	}
	r.running = true
	now := time.Now()
	for _, u := range r.queue {
		if u.due.Before(now) {
			u.due = r.spread(u)
		}
	}
	heap.Init(&r.queue)
	if len(r.news) > 0 {
		poke(r.tell)
	}
	return nil
}

// schedule starts what is due until ctx ends, and then waits for what it started.
func (r *Runner) schedule(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			r.settle()
			return
		case <-timer.C:
		case <-r.wake:
		}
		timer.Reset(r.start(ctx))
	}
}

// settle returns when no probe is under way. They end soon: ctx has.
func (r *Runner) settle() {
	for {
		r.mu.Lock()
		under := r.under
		r.mu.Unlock()
		if under == 0 {
			r.unpark()
			return
		}
		<-r.wake
	}
}

// unpark puts what waits for a place back into the queue, for the next Run.
func (r *Runner) unpark() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range r.parked {
		if !u.gone {
			r.enqueue(u, u.due)
		}
	}
	r.parked = nil
}

// start starts the probes that are due, as far as there is room, and returns
// how long nothing else will be due.
func (r *Runner) start(ctx context.Context) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for len(r.parked) > 0 && r.hasPlace(r.parked[0]) {
		u := r.parked[0]
		r.parked = r.parked[1:]
		if !u.gone {
			r.launch(ctx, u, now)
		}
	}
	for len(r.queue) > 0 && r.under < r.atOnce() {
		u := r.queue[0]
		if u.due.After(now) {
			return u.due.Sub(now)
		}
		r.dequeue(u)
		if !r.hasPlace(u) {
			r.parked = append(r.parked, u)
			continue
		}
		r.launch(ctx, u, now)
	}
	return time.Hour // a probe that ends, or Set, wakes the scheduler before
}

// lagged tells whether the last probe took so long that many like it would fill all places.
func (u *unit) lagged() bool { return u.rtt > u.config.Timeout/4 }

// hasPlace tells whether a probe of u may start. r.mu is held.
func (r *Runner) hasPlace(u *unit) bool {
	free := len(r.units) <= r.atOnce() || !u.lagged() || r.lagging < max(r.atOnce()/2, 1)
	return r.under < r.atOnce() && free
}

// launch starts a probe of u. r.mu is held.
func (r *Runner) launch(ctx context.Context, u *unit, now time.Time) {
	r.watchLag(now, u)
	r.under++
	if u.lags = u.lagged(); u.lags {
		r.lagging++
	}
	probing, cancel := context.WithCancel(ctx)
	u.cancel = cancel
	go r.probe(probing, u) // ends with its probe; settle waits for it
}

// probe makes one probe of u and books what it saw.
func (r *Runner) probe(ctx context.Context, u *unit) {
	began := time.Now()
	timing, trip := timed(ctx)
	seen, err := ask(timing, u.prober)
	r.mu.Lock()
	defer r.mu.Unlock()
	ended := ctx.Err() != nil
	u.cancel()
	u.cancel = nil
	full := r.under >= r.atOnce()
	r.under--
	if u.lags {
		r.lagging--
	}
	switch {
	case u.gone:
	case ended: // Run ends: the result says nothing
		r.enqueue(u, began)
	default:
		r.book(u, began, *trip, seen, err)
	}
	if full || ended || u.index == 0 || len(r.parked) > 0 {
		poke(r.wake)
	}
}

// ask makes one probe. One that panics says nothing of its target, and takes no
// other down with it.
func ask(ctx context.Context, p Prober) (seen Seen, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: the probe panicked: %v", ErrNotProbed, fault)
		}
	}()
	return p.Probe(ctx)
}

// book enters a result, and when the next one is due. r.mu is held.
func (r *Runner) book(u *unit, began time.Time, trip time.Duration, seen Seen, err error) {
	now := time.Now()
	u.at, u.rtt, u.seen = now, now.Sub(began), seen
	// Early, never late: the time to notice a failure is at most fall intervals
	// and a time-out.
	r.enqueue(u, began.Add(u.interval-time.Duration(r.random()*float64(u.jitter))))
	var changed bool
	switch {
	case errors.Is(err, ErrNotProbed):
		u.detail = err.Error()
		u.missed++
		if u.missed >= u.fall && u.machine.State() != health.Unknown {
			u.machine.Restore(health.Unknown, time.Time{}, u.detail)
			changed = true
		}
	case err != nil:
		u.missed, u.detail = 0, err.Error()
		_, changed = u.machine.Observe(health.Down, u.detail, now)
	default:
		u.missed = 0
		u.travelled(trip, u.rtt, now)
		changed = u.succeed(seen, now)
		if seen.Generation != u.generation {
			u.generation = seen.Generation
			r.renewed(u)
		}
	}
	r.wishes(u, seen.Wish, err != nil || u.stale(seen.Report, seen.Wish), now)
	if changed {
		r.turned(u)
	}
}

// succeed enters a probe that reached its target.
func (u *unit) succeed(seen Seen, now time.Time) (changed bool) {
	took := round(u.rtt)
	result := health.Up
	u.detail = fmt.Sprintf("ok in %v", took)
	if seen.Detail != "" {
		u.detail = seen.Detail
	}
	if seen.Degraded {
		result = health.Degraded
	}
	if u.slow > 0 && u.rtt > u.slow {
		result = health.Degraded
		u.detail += fmt.Sprintf(", slow: %v is more than %v", took, u.slow)
	}
	if seen.Said != health.Unknown {
		return u.machine.Declare(seen.Said, u.detail, now)
	}
	_, changed = u.machine.Observe(result, u.detail, now)
	return changed
}

// turned tells all who care that the verdict of u is another. r.mu is held.
func (r *Runner) turned(u *unit) {
	if r.memory != nil {
		poke(r.memory.dirty)
	}
	for _, e := range u.entries {
		r.announce(e)
	}
	for _, p := range u.parents {
		r.compose(p)
	}
}

// announce puts e among the news if the caller was told otherwise. r.mu is held.
func (r *Runner) announce(e *entry) {
	if !e.queued && e.isNews() {
		e.queued = true
		r.news = append(r.news, e)
		poke(r.tell)
	}
}

// isNews tells whether the caller was told otherwise. r.mu is held.
func (e *entry) isNews() bool {
	return e.told != e.unit.machine.State() || e.toldGeneration != e.unit.serves() || e.toldWish != e.unit.asks()
}

// notify tells the news until ctx ends.
func (r *Runner) notify(ctx context.Context, on func(Transition)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.tell:
		}
		for ctx.Err() == nil {
			t, ok := r.next()
			if !ok {
				break
			}
			r.log.Info("check changed", "target", t.Target.Name, "address", t.Target.Address, "state", t.State, "detail", t.Detail)
			on(t)
		}
	}
}

// next takes the first of the news that is still one.
func (r *Runner) next() (Transition, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.news) > 0 {
		e := r.news[0]
		r.news = r.news[1:]
		e.queued = false
		m := e.unit.machine
		if e.gone || !e.isNews() {
			continue
		}
		e.told, e.toldGeneration, e.toldWish = m.State(), e.unit.serves(), e.unit.asks()
		at := m.Since()
		if at.IsZero() {
			at = e.unit.last()
		}
		return Transition{Target: e.target, State: e.told, Detail: m.Detail(), At: at, Generation: e.toldGeneration, Wish: e.toldWish}, true
	}
	r.news = nil
	return Transition{}, false
}

// watchLag warns when u is started more than an interval late. r.mu is held.
func (r *Runner) watchLag(now time.Time, u *unit) {
	late := now.Sub(u.due)
	if late < max(u.interval, time.Second) || now.Sub(r.warned) < warnEvery {
		return
	}
	r.warned = now
	r.log.Warn("probes run late: more are due than fit at once", "late", round(late), "at_once", r.atOnce(), "probes", len(r.units))
}

func (r *Runner) atOnce() int {
	if r.AtOnce > 0 {
		return r.AtOnce
	}
	return min(max(int(r.need), DefaultAtOnce), MostAtOnce)
}

// spread returns the moment for the first probe of u, by a hash of what it is:
// the same after each restart, another one for each check and node.
func (r *Runner) spread(u *unit) time.Time {
	h := fnv.New64a()
	for _, s := range []string{r.Seed, u.key.address, u.key.config} {
		_, _ = h.Write([]byte(s + "\x00")) // of a hash, never fails
	}
	const golden = 0x9e3779b97f4a7c15 // FNV leaves the high bits of like keys alike
	phase := float64((h.Sum64()*golden)>>11) / (1 << 53)
	return time.Now().Add(time.Duration(phase * float64(min(u.interval, maxSpread))))
}

func (r *Runner) enqueue(u *unit, due time.Time) {
	u.due = due
	heap.Push(&r.queue, u)
}

func (r *Runner) dequeue(u *unit) {
	if u.index >= 0 {
		heap.Remove(&r.queue, u.index)
	}
}

// queue is a heap of units by due time; each knows its index.
type queue []*unit

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements [heap.Interface].
func (q *queue) Push(x any) {
	u := x.(*unit)
	u.index = len(*q)
	*q = append(*q, u)
}

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	old := *q
	u := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	u.index = -1
	return u
}
