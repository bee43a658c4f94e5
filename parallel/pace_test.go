package parallel

import (
	"math"
	"sync/atomic"
	"testing"
	"time"
)

// machine is a machine whose time passes as the test says: 2 processors.
type machine struct {
	now     time.Duration
	idle    float64 // share of the processors that is idle while background work rests
	own     float64 // share of them that this process uses
	use     processorUse
	ran     time.Duration // by background work
	blind   bool          // nothing can be measured
	longest time.Duration // rest
}

func (m *machine) pace() *pace {
	return &pace{
		clock: func() time.Duration { return m.now },
		sleep: func(d time.Duration) {
			m.longest = max(m.longest, d)
			m.now += d
			m.use.idle += time.Duration(2 * m.idle * float64(d))
			m.use.own += time.Duration(2 * m.own * float64(d))
		},
		measure: func() (processorUse, bool) {
			m.use.n = 2
			return m.use, !m.blind
		},
		thread:  func() (int, time.Duration) { return 1, m.ran },
		threads: map[int]time.Duration{},
	}
}

// work is background work of that length which yields every so often.
func (m *machine) work(p *pace, length, step time.Duration) {
	for done := time.Duration(0); done < length; done += step {
		m.now += step
		m.ran += step
		if !p.runs() {
			p.turn()
		}
	}
}

// The rows are those of the table at pace.
func TestShareOfTheTime(t *testing.T) {
	share := LeastShare // not a constant
	most := time.Duration(1.1 * float64(leastRun) / share)
	for _, c := range []struct {
		what      string
		idle, own float64
		want      float64
	}{
		{"mostly idle", 1, 0.01, mostShare},
		{"partly idle", 0.5, 0.3, (0.5 - spared) / (1 - spared) * mostShare},
		{"busy, this process has little part in it", 0, 0.05, fairShare},
		{"busy", 0, 0.5, LeastShare},
		{"busy but for what is spared", spared, 0.5, LeastShare},
	} {
		m := &machine{now: time.Hour, idle: c.idle, own: c.own}
		p := m.pace()
		began := m.now
		p.enter()
		m.work(p, 3*time.Second, 100*time.Microsecond)
		p.leave()
		got := float64(m.ran) / float64(m.now-began)
		if math.Abs(got-c.want) > 0.1*c.want {
			t.Errorf("%s: it runs in %.3f of the time, want %.3f", c.what, got, c.want)
		}
		if m.longest > most {
			t.Errorf("%s: a rest took %v", c.what, m.longest)
		}
	}
}

// However busy the processors are, and however long work goes on without
// yielding, it ends; what it took too much is made up for, within bounds.
func TestMakesUpForWhatDoesNotYield(t *testing.T) {
	m := &machine{now: time.Hour, own: 1}
	p := m.pace()
	p.enter()
	m.work(p, 50*time.Millisecond, 10*time.Millisecond)
	want := p.makeUp(10 * time.Millisecond)
	if want < 900*time.Millisecond {
		t.Errorf("the rest that is due after 10 ms is %v, want some 990ms", want)
	}
	if m.longest < want*99/100 || m.longest > want*101/100 {
		t.Errorf("the rest after 10 ms without yielding took %v, want %v", m.longest, want)
	}
	m.work(p, time.Minute, time.Minute)
	if m.longest > mostRest {
		t.Errorf("the rest after a minute without yielding took %v, want at most %v", m.longest, mostRest)
	}
	p.leave()
}

// What counts is how long work ran, not how long it took while the kernel ran others.
func TestWaitingIsNotRunning(t *testing.T) {
	m := &machine{now: time.Hour, own: 1}
	p := m.pace()
	p.enter()
	for range 100 {
		m.work(p, time.Millisecond, time.Millisecond)
		m.now += 20 * time.Millisecond
	}
	p.leave()
	if want := p.makeUp(2 * time.Millisecond); m.longest > want {
		t.Errorf("a rest after a millisecond or two took %v, want at most %v", m.longest, want)
	}
}

// Small jobs, one after another, get no more than a large one: the rest that is
// due comes before the next.
func TestManySmallJobs(t *testing.T) {
	m := &machine{now: time.Hour, own: 1}
	p := m.pace()
	began := m.now
	for range 100 {
		p.enter()
		m.work(p, 20*time.Millisecond, 20*time.Millisecond)
		p.leave()
	}
	if got := float64(m.ran) / float64(m.now-began); got > 1.1*LeastShare {
		t.Errorf("100 jobs of 20 ms ran in %.3f of the time, want %.3f", got, LeastShare)
	}
}

// When the load comes or goes the share follows within seconds.
func TestFollowsTheLoad(t *testing.T) {
	m := &machine{now: time.Hour, idle: 1}
	p := m.pace()
	p.enter()
	defer p.leave()
	share := func(length time.Duration) float64 {
		ran, began := m.ran, m.now
		m.work(p, length, 100*time.Microsecond)
		return float64(m.ran-ran) / float64(m.now-began)
	}
	share(time.Second)
	m.idle, m.own = 0, 1
	share(time.Second)
	if got := share(time.Second / 10); got > 1.1*LeastShare {
		t.Errorf("after load has come it runs in %.3f of the time, want %.3f", got, LeastShare)
	}
	m.idle, m.own = 1, 0
	share(time.Second / 2)
	if got := share(time.Second); got < 0.9*mostShare {
		t.Errorf("after load has gone it runs in %.3f of the time, want %.3f", got, mostShare)
	}
}

func TestRestsForNothingWhereNothingIsMeasured(t *testing.T) {
	m := &machine{now: time.Hour, blind: true}
	p := m.pace()
	p.enter()
	m.work(p, time.Second, 100*time.Microsecond)
	p.leave()
	if m.longest > 0 {
		t.Errorf("it rested for %v", m.longest)
	}
}

// Outside of the background nothing rests.
func TestForeground(t *testing.T) {
	m := &machine{now: time.Hour, own: 1}
	p := m.pace()
	p.enter()
	p.leave()
	m.longest = 0
	m.work(p, time.Second, time.Millisecond)
	if m.longest > 0 {
		t.Errorf("it rested for %v", m.longest)
	}
}

// Background work ends although all processors compute for somebody else, and
// with a panic if that is how it ends; nothing rests any more after it.
func TestBackgroundEnds(t *testing.T) {
	var stop atomic.Bool
	defer stop.Store(true)
	for range 2 * Processors() {
		go func() { // ends with stop
			for !stop.Load() {
			}
		}()
	}
	var turns atomic.Int64
	ended := make(chan any)
	go func() {
		defer func() { ended <- recover() }()
		Background(func() {
			Each(20, func(int) {
				for range 10 {
					turns.Add(1)
					for began := time.Now(); time.Since(began) < 50*time.Microsecond; {
					}
					Yield()
				}
			})
			panic("at the end")
		})
	}()
	select {
	case got := <-ended:
		if got != "at the end" || turns.Load() != 200 {
			t.Errorf("it ended with %v after %d of 200 turns", got, turns.Load())
		}
	case <-time.After(time.Minute):
		t.Fatalf("it has not ended after %d of 200 turns", turns.Load())
	}
	if !processors.runs() {
		t.Error("work outside of the background rests")
	}
}

// Any number may be in the background at once.
func TestBackgroundWithinBackground(t *testing.T) {
	var done atomic.Int32
	Background(func() {
		Each(4, func(int) {
			Background(func() {
				done.Add(1)
				Yield()
			})
		})
	})
	if done.Load() != 4 || !processors.runs() {
		t.Errorf("%d of 4 are done; runs: %v", done.Load(), processors.runs())
	}
}

func BenchmarkYield(b *testing.B) {
	for b.Loop() {
		Yield()
	}
}
