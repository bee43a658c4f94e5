package parallel

import (
	"sync"
	"sync/atomic"
	"time"
)

// pace divides time into parts in which background work runs, on all its
// goroutines at once, and parts in which it rests:
//
//	| run |       rest        | run |       rest        | run …
//	      └ measure ─────────┘ └ as long as the measures allow
//
// What the processors do while it rests is what they do without it. So the share
// of them that is idle then is the share that the work may have:
//
//	processors, while the work rests         share of the time in which it runs
//	mostly idle                              mostShare
//	partly idle                              what is idle beyond spared, up to mostShare
//	busy, this process has little part in it fairShare, as the kernel divides
//	busy                                     LeastShare: it ends some time
//
// Lower priorities of its threads would be simpler and are worse: a thread that
// the kernel does not run keeps its P and the runtime's locks, and whoever stops
// the world, each collection of garbage, stops the workers and waits for it.
type pace struct {
	clock   func() time.Duration // monotonic
	sleep   func(time.Duration)
	measure func() (processorUse, bool) // false: it can't be told, so nothing rests
	thread  func() (id int, used time.Duration)

	// until is when the run part ends: 0 while there is no background work,
	// past while it rests.
	until atomic.Int64
	// brief tells that the part is so short that nobody needs the processor
	// before its end: waiting for it again would use up the part.
	brief atomic.Bool

	mu      sync.Mutex // guards what is below
	jobs    int        // Background calls that run
	resting bool
	began   time.Duration // of the part
	length  time.Duration // of the run part, as planned
	// threads that went on in this part, and the processor time that each had used before
	threads map[int]time.Duration
	resume  time.Duration // when the rest ends; kept after the last job
	before  processorUse  // at the start of the rest
	seen    processorUse  // in rests, since free and serving were made of them,
	seenFor time.Duration // which took so long
	free    float64       // share of the processors that is not used in rests, smoothed
	serving float64       // share of them that this process uses in rests, smoothed
	at      time.Duration // when these two were measured
}

// processorUse is what the processors have done since the machine started.
type processorUse struct {
	idle time.Duration // sum of what they idled, or worked for processes of low priority
	own  time.Duration // what they did for this process
	n    int           // how many they are
}

const (
	// LeastShare is the share of the processors that background work gets however busy they are.
	// It is of each of them: on two, of which one answers queries, it takes twice that of what answers take.
	LeastShare = 0.0075

	mostShare = 0.9
	fairShare = 0.5
	// spared is the idle share up to which there is nothing for background work. It is of all processors together, and one of them may have
	// nothing to spare while the others do: of two, of which the one that answered queries was 80 % busy and the other
	// one fully, background work took 11 % of a processor when a tenth was spared, and both were slower by as much.
	spared = 0.25
	// littleUsed is the share of the processors below which this process's own
	// work needs no care: then others keep them busy, and the kernel is fair among processes.
	littleUsed = 0.1

	// enough rest makes a measure, since Linux counts idle time in hundredths of a
	// second. With the shares it makes run parts of up to 360 ms.
	enough = 40 * time.Millisecond
	// leastRun bounds the run parts from below: each costs the processors what is in their caches,
	// and who answers queries some tenths of a millisecond to get it back. Of 0.8 ms, with a
	// share of 0.01, that was more than half as much as what they ran.
	leastRun = 2500 * time.Microsecond
	// mostRun bounds the run parts beside queries: the kernel gives them half of a
	// processor meanwhile, or a third, and those that do not get it must not fill the socket's buffer.
	mostRun = 5 * time.Millisecond
	briefly = 3 * time.Millisecond
	// mostRest bounds what is made up for work that did not yield in time.
	mostRest = 3 * time.Second
	// stale is the age from which a measure says nothing of now.
	stale = 2 * time.Second
	// smoothing is the weight of the last measure.
	smoothing = 0.25
)

// runs tells whether the caller may go on: most of the time, at the cost of reading the clock.
func (p *pace) runs() bool {
	until := p.until.Load()
	return until == 0 || p.clock() < time.Duration(until)
}

const past = 1 // nanosecond after the start, for until

// enter begins background work: with a rest, to see what the processors do
// without it, and to make up for what earlier work did.
func (p *pace) enter() {
	p.mu.Lock()
	p.jobs++
	if p.jobs == 1 {
		now := p.clock()
		if p.resume > now+mostRest {
			p.resume = 0 // of another clock: that of a test's bubble
		}
		p.rest(max(now+enough, p.resume))
	}
	p.mu.Unlock()
	p.turn()
}

func (p *pace) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jobs--; p.jobs > 0 {
		return
	}
	p.until.Store(0)
	p.brief.Store(false)
	if !p.resting {
		p.resume = p.clock() + p.makeUp(p.ran())
	}
	p.resting = false
}

// turn rests until it is time to run, and begins or ends the parts.
func (p *pace) turn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.clock(); p.jobs > 0 && !p.resting && now >= time.Duration(p.until.Load()) {
		p.rest(now + p.makeUp(p.ran()))
	}
	for p.resting {
		left := p.resume - p.clock()
		if left <= 0 {
			p.run()
			break
		}
		p.mu.Unlock()
		p.sleep(left)
		p.mu.Lock()
	}
	id, used := p.thread()
	p.threads[id] = used
}

// ran is for how long the caller has run in this part: the processor time of its
// thread, if it is still the same one, since the kernel may have run others meanwhile.
func (p *pace) ran() time.Duration {
	ran := p.clock() - p.began
	id, used := p.thread()
	if before, ok := p.threads[id]; ok {
		ran = min(ran, used-before)
	}
	return ran
}

// rest begins a rest, if the processors can be measured.
func (p *pace) rest(until time.Duration) {
	var ok bool
	p.began = p.clock()
	if p.before, ok = p.measure(); !ok {
		p.until.Store(int64(p.began + enough))
		return
	}
	p.resting, p.resume = true, until
	p.until.Store(past)
}

// run ends a rest, with what was learned in it.
func (p *pace) run() {
	now := p.clock()
	if use, ok := p.measure(); ok {
		p.seen.idle += use.idle - p.before.idle
		p.seen.own += use.own - p.before.own
		if p.seenFor += now - p.began; p.seenFor >= enough && use.n > 0 {
			p.learn(now, float64(p.seenFor)*float64(use.n))
		}
	}
	p.resting, p.began = false, now
	clear(p.threads)
	share := p.share()
	p.length = max(leastRun, time.Duration(float64(enough)*share/(1-share)))
	if p.serving >= littleUsed {
		p.length = min(p.length, mostRun)
	}
	p.brief.Store(p.length < briefly)
	p.until.Store(int64(now + p.length))
}

// learn takes in what was seen in rests, of all that the processors could have done.
func (p *pace) learn(now time.Duration, all float64) {
	weight := smoothing
	if p.at == 0 || now-p.at > stale {
		weight = 1
	}
	p.free += weight * (float64(p.seen.idle)/all - p.free)
	p.serving += weight * (float64(p.seen.own)/all - p.serving)
	p.at, p.seen, p.seenFor = now, processorUse{}, 0
}

// share is the share of the time that background work may run.
func (p *pace) share() float64 {
	least := LeastShare
	if p.serving < littleUsed {
		least = fairShare
	}
	return max((p.free-spared)/(1-spared)*mostShare, least)
}

// makeUp is the rest after a run part of that length.
func (p *pace) makeUp(ran time.Duration) time.Duration {
	share := p.share()
	return min(time.Duration(float64(max(ran, p.length))*(1-share)/share), mostRest)
}
