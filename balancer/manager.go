package balancer

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"time"

	"gslb/health"
)

// The manager decides which servers take new connections. A server is isolated
// while at least one cause holds:
//
//	cause     begins                              ends
//	check     the active check says down          it says up (after its rise)
//	passive   2 connects in a row failed, or 5    the active check says up, and has had the time
//	          reset before their first byte       to say down since; without one, a connect of the
//	                                              manager's own succeeds (1 s after, then 2 s …)
//	overload  in flight >= OverloadAt * capacity  in flight < 80 % of that, 1 s after at the earliest
//
// (2, 5 and 1 s are the defaults of PassiveFailures, PassiveResets and EjectTime. In planes
// in the kernel the connects are the manager's own: doubt.go.)
// passive and overload are guesses of this balancer alone. Together they isolate
// at most MaxEjected of the pool, and never the last available server.
//
// A spare goes in service while fewer than MinServers are in service and
// available, and out when MinServers has been met without it for SpareHold.
// If nothing is available, or less than PanicBelow of the servers, everything that is
// not draining is tried (panic): the checks may be wrong, and a refusal would be certain.
const (
	tick       = 100 * time.Millisecond
	stable     = time.Minute     // in service this long, a server's next isolation starts at EjectTime again
	resetAfter = 2 * time.Second // from a failed check to the end of the server's connections, with OnIsolate reset
	hysteresis = 0.8             // an overloaded server is back below this share of OverloadAt
	fullLeast  = time.Second     // and after this long: short connections come and go faster than people read
)

// cause is why a server is isolated; several may hold at once.
type cause uint8

const (
	causeCheck cause = 1 << iota
	causePassive
	causeOverload
)

// isolation is the state of a server's isolation.
type isolation struct {
	causes    cause
	why       string    // in words, as of the last change
	suspicion string    // what its connections say against it
	since     time.Time // of the passive cause
	wait      time.Duration
	retryAt   time.Time // when the passive cause is tried again
	trying    bool      // a try is under way
	tried     bool      // and succeeded
	returned  time.Time // when the last passive isolation ended
	full      time.Time // when the overload cause began
}

func (i *isolation) has(c cause) bool { return i.causes&c != 0 }

// settle brings isolation, spares, panic and the table in line with what is
// known at now. Under mu; every change of what is known must end here.
func (p *pool) settle(now time.Time) {
	for _, s := range p.servers {
		p.settleWish(s, now)
		p.judge(s, now)
	}
	p.settleSpares(now)
	p.settleTable(now)
}

// judge isolates s or takes it back.
func (p *pool) judge(s *server, now time.Time) {
	i, before := &s.isolation, s.isolation.causes
	p.judgeCheck(s)
	p.judgePassive(s, now)
	p.judgeOverload(s, now)
	switch {
	case before == 0 && i.causes != 0:
		s.isolated++
		p.tell(now, s, EventIsolated, i.why)
	case before != 0 && i.causes == 0:
		why := i.why
		i.why = ""
		if before != causeOverload { // a server that was only full is warm
			s.rampFrom = now
			s.peak.forget()
		}
		p.tell(now, s, EventRecovered, "was isolated: "+why)
	}
}

func (p *pool) judgeCheck(s *server) {
	i := &s.isolation
	if down := s.check.state == health.Down && !s.asked; down && !i.has(causeCheck) {
		i.causes |= causeCheck
		i.why = "check failed: " + s.check.detail
	} else if !down {
		i.causes &^= causeCheck
	}
}

func (p *pool) judgePassive(s *server, now time.Time) {
	i := &s.isolation
	if !i.has(causePassive) {
		if !p.suspicious(s) || !p.mayIsolate(s) {
			return
		}
		i.wait = min(2*i.wait, p.cfg.EjectTimeMost)
		if i.wait == 0 || now.Sub(i.returned) > stable {
			i.wait = p.cfg.EjectTime
		}
		i.causes |= causePassive
		i.since, i.retryAt = now, now.Add(i.wait)
		if i.causes == causePassive {
			i.why = i.suspicion
		}
		return
	}
	if i.tried || p.rule != nil && p.checkedAgain(s, now) {
		i.causes &^= causePassive
		i.returned, i.tried = now, false
		s.streak.Store(0)
		s.brokenRow.Store(0)
	}
}

// checkedAgain tells whether the active check has found s up since the passive
// isolation: either it was down in between and came up, or it has said up all the
// time since, in which it would have said down by now, too.
func (p *pool) checkedAgain(s *server, now time.Time) bool {
	if s.check.state != health.Up && s.check.state != health.Degraded {
		return false
	}
	if s.check.since.After(s.isolation.since) {
		return true
	}
	sure := time.Duration(max(p.rule.Rise, p.rule.Fall))*p.rule.Interval + p.rule.Timeout
	return now.Sub(s.isolation.since) >= max(sure, s.isolation.wait)
}

func (p *pool) judgeOverload(s *server, now time.Time) {
	i, at := &s.isolation, p.cfg.OverloadAt
	load := s.load()
	switch {
	case i.has(causeOverload):
		if at == 0 || load < at*hysteresis && now.Sub(i.full) >= fullLeast {
			i.causes &^= causeOverload
		}
	case at > 0 && load >= at && p.mayIsolate(s):
		i.causes |= causeOverload
		i.full = now
		if i.causes == causeOverload {
			i.why = fmt.Sprintf("overload: %d connections are %.0f %% of its capacity of %g", s.open.Load(), 100*load, s.Capacity)
		}
	}
}

// mayIsolate tells whether s may be isolated on this balancer's own guess.
func (p *pool) mayIsolate(s *server) bool {
	if s.isolation.causes != 0 {
		return true // it is already; another cause changes nothing
	}
	guessed, others := 0, 0
	for _, o := range p.servers {
		if c := o.isolation.causes; c != 0 && c&causeCheck == 0 {
			guessed++
		}
		if o != s && o.available() {
			others++
		}
	}
	return others > 0 && guessed+1 <= int(p.cfg.MaxEjected*float64(len(p.servers))+1e-9)
}

// settleSpares puts spares in service or takes them out.
func (p *pool) settleSpares(now time.Time) {
	healthy := 0
	for _, s := range p.servers {
		if s.inService && s.available() {
			healthy++
		}
	}
	for healthy < p.cfg.MinServers {
		s := p.nextSpare()
		if s == nil {
			break
		}
		s.inService, s.rampFrom = true, now
		p.tell(now, s, EventSpareIn, fmt.Sprintf("%d servers available, %d wanted", healthy, p.cfg.MinServers))
		healthy++
	}
	for {
		s := p.lastSpareIn()
		if s == nil {
			p.enough = time.Time{}
			return
		}
		without := healthy
		if s.available() {
			without--
		}
		if without < p.cfg.MinServers {
			p.enough = time.Time{}
			return
		}
		if p.enough.IsZero() {
			p.enough = now
		}
		if now.Sub(p.enough) < p.cfg.SpareHold {
			return
		}
		s.inService, healthy = false, without
		p.tell(now, s, EventSpareOut, fmt.Sprintf("%d servers available without it for %v; its %d connections finish",
			without, p.cfg.SpareHold, s.open.Load()))
	}
}

// nextSpare returns the first spare that can go in service: one that is known
// to be up, or else one that nothing is known about. Nil if there is none.
func (p *pool) nextSpare() *server {
	var unknown *server
	for _, s := range p.servers {
		switch {
		case s.inService || !s.available():
		case p.rule == nil || s.check.state != health.Unknown:
			return s
		case unknown == nil:
			unknown = s
		}
	}
	return unknown
}

// lastSpareIn returns the last spare in service, one that is not available first.
func (p *pool) lastSpareIn() *server {
	var last *server
	for _, s := range p.servers {
		if s.role == roleSpare && s.inService && (last == nil || last.available()) {
			last = s
		}
	}
	return last
}

// settleTable makes the table of what is available.
func (p *pool) settleTable(now time.Time) {
	p.endRamps(now)
	byCapacity := p.cfg.statesCapacity()
	var in, all []candidate
	for _, s := range p.servers {
		c := candidate{server: s, size: s.Weight, ramp: s.ramp(now, p.cfg.SlowStart)}
		if byCapacity && p.cfg.Pick == LeastLoad {
			c.size = s.Capacity
		}
		c.size = s.sized(c.size, p.cfg.Pick)
		if s.inService && s.available() {
			in = append(in, c)
		}
		if !s.ordered { // an agent's wish is not obeyed to the point that nobody is served
			all = append(all, c)
		}
	}
	panic := len(p.servers) > 0 && len(in) == 0 || float64(len(in)) < p.cfg.PanicBelow*float64(len(p.cfg.Servers))-1e-9
	few := fmt.Sprintf("%d of %d servers are available", len(in), len(p.cfg.Servers))
	if len(in) == 0 {
		few = "no server is available"
	}
	if panic {
		in = all
	}
	t := table{picker: p.pickers[p.cfg.Pick], candidates: in, panic: panic, whole: p.cfg.HashBy == HashConnection, seed: hashSeed(p.cfg.HashKey)}
	if !panic {
		t.candidates, t.farther = p.near(in)
	}
	p.table.Store(newTable(t))
	if p.follower != nil {
		p.follower.wake()
	}
	p.serveQueue()
	if panic != p.panic {
		p.panic = panic
		if panic {
			p.tell(now, nil, EventPanic, fmt.Sprintf("%s; new connections try all %d that are not draining", few, len(all)))
		} else {
			p.tell(now, nil, EventPanicOver, few)
		}
	}
}

// near parts servers into those of the zone that is preferred and the others, if
// there are some whose slow start is over: alone they would take all
// connections at once. Else all are near.
func (p *pool) near(all []candidate) (near, farther []candidate) {
	warm := false
	for _, c := range all {
		if c.Zone != p.cfg.PreferZone {
			farther = append(farther, c)
			continue
		}
		near = append(near, c)
		warm = warm || c.ramp == 1
	}
	if p.cfg.PreferZone == "" || !warm {
		return all, nil
	}
	return near, farther
}

// endRamps ends slow starts that are over.
func (p *pool) endRamps(now time.Time) {
	for _, s := range p.servers {
		if s.ramp(now, p.cfg.SlowStart) == 1 {
			s.rampFrom = time.Time{}
		}
	}
}

// tickAt settles what changes as time passes: overload, slow start, the hold
// time of spares, drains. It returns the passively isolated servers that are to
// be tried now, because no active check looks after them.
func (p *pool) tickAt(now time.Time) (try []*server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.servers {
		p.measure(s, now)
		p.settleDrain(s, now)
		i := &s.isolation
		if p.rule == nil && i.has(causePassive) && !i.trying && !now.Before(i.retryAt) {
			i.trying = true
			try = append(try, s)
		}
	}
	left := p.leaving[:0]
	for _, s := range p.leaving {
		if p.settleDrain(s, now); !s.drain.done {
			left = append(left, s)
			continue
		}
		for i, h := range s.counted() {
			p.past[i].plus(&h)
		}
	}
	clear(p.leaving[len(left):])
	p.leaving = left
	p.settle(now)
	for _, s := range p.servers {
		p.settleReset(s, now)
	}
	return try
}

// settleReset resets the connections of a server that a check isolated, if that
// is wanted: to a machine that is frozen they would hang until they are idle for
// too long. While nothing is available the checks are not believed.
func (p *pool) settleReset(s *server, now time.Time) {
	if p.cfg.OnIsolate != ResetIsolated || !s.isolation.has(causeCheck) || p.panic || now.Sub(s.check.since) < resetAfter {
		return
	}
	if n := s.carried.reset(); n > 0 {
		p.tell(now, s, EventCut, fmt.Sprintf("%d connections were open %v after its check failed", n, resetAfter))
	}
}

// settleDrain tells when a draining server is empty, and resets what outlives
// the drain time-out.
func (p *pool) settleDrain(s *server, now time.Time) {
	if !s.drain.on() || s.drain.done {
		return
	}
	if open := s.open.Load(); open > 0 && !s.drain.cut && (s.ordered || s.leaving) && now.Sub(s.drain.since) >= p.drainMost(s) {
		s.drain.cut = true
		n := s.carried.cut()
		p.tell(now, s, EventCut, fmt.Sprintf("%d connections of %d were open after %v of draining", n, s.drain.begun, p.drainMost(s)))
	} else if s.empty(s.drain.since) {
		s.drain.done = true
		if s.leaving {
			s.carried.cut() // one that was picked just before it left
		}
		p.tell(now, s, EventDrained, fmt.Sprintf("the last of its %d connections ended after %v", s.drain.begun, now.Sub(s.drain.since).Round(time.Millisecond)))
	}
}

// drainMost is how long the connections of a draining server may last.
func (p *pool) drainMost(s *server) time.Duration {
	if s.drain.most > 0 {
		return s.drain.most
	}
	return p.cfg.DrainTimeout
}

// try makes one connection to a passively isolated server that no active check
// looks after, and takes it back if that succeeds.
func (p *pool) try(ctx context.Context, s *server) {
	err := p.connect(ctx, s)
	p.mu.Lock()
	defer p.mu.Unlock()
	now, i := p.now(), &s.isolation
	i.trying = false
	if err != nil {
		i.suspicion = err.Error()
		i.wait = min(2*i.wait, p.cfg.EjectTimeMost)
		i.retryAt = now.Add(i.wait)
		return
	}
	i.tried, s.doubt.reached = i.has(causePassive), true
	p.settle(now)
}

// connect makes one connection to a server and ends it, or, of UDP, hears whether nobody is there.
func (p *pool) connect(ctx context.Context, s *server) error {
	cfg := p.config()
	if cfg.Protocol == UDP {
		return knock(ctx, s.address)
	}
	d := net.Dialer{Timeout: cmp.Or(cfg.ConnectTimeout, doubtTime)}
	conn, err := d.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (p *pool) config() Config {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg
}
