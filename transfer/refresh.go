package transfer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"gslb/parallel"
	"gslb/zones"
)

// Pauses of a secondary that has no copy of its zone, whose SOA record would tell.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// How often a zone asks because it was told that there is something new.
const (
	kicksAtOnce = 10
	kicksPerSec = 1
)

// follow keeps a secondary's copy of the zone fresh until ctx ends (RFC 1034,
// section 4.3.5): it asks when the SOA record's times say so, at the start, and
// when a primary tells that there is something new.
func (z *zone) follow(ctx context.Context) {
	wait := time.Duration(0)
	if z.raw.Load() != nil { // many zones must not ask all at once
		wait = rand.N(time.Second)
	}
	failures := 0
	// Anybody can send notifications under a primary's address, at any rate.
	kicks := rate.NewLimiter(kicksPerSec, kicksAtOnce)
	for {
		z.plan(wait)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-z.kick:
			if kicks.Wait(ctx) != nil {
				t.Stop()
				return
			}
		case <-t.C:
		}
		t.Stop()
		err := z.refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failures = 0
		} else {
			failures++
		}
		z.note(err)
		z.expire()
		wait = z.next(failures)
		if errors.As(err, new(crowded)) { // nobody asked
			wait = min(wait, jitter(crowdedRetry))
		}
	}
}

// next is when to ask again: a little before the time that the SOA record says,
// so that the zones of one server do not stay in step.
func (z *zone) next(failures int) time.Duration {
	raw := z.raw.Load()
	if raw == nil {
		return jitter(min(firstRetry<<min(failures, 10), lastRetry))
	}
	t := timersOf(raw)
	wait := t.refresh
	if failures > 0 {
		wait = t.retry
	}
	wait = jitter(wait)
	if !z.lapsed.Load() {
		left := time.Unix(z.confirmed.Load(), 0).Add(t.expire).Sub(z.m.now())
		wait = min(wait, max(left, 0)+10*time.Millisecond)
	}
	return wait
}

func jitter(d time.Duration) time.Duration { return d - rand.N(d/10+1) }

// refresh asks the primaries, whoever told of a change first and the others in their
// order, until one has something newer: one that is behind must not hide the others.
//
//	newer than the copy     it is transferred, and nobody else is asked
//	the same                the copy is the newest, unless another one has a newer
//	older, or no answer     a fault, if all are like that
func (z *zone) refresh(ctx context.Context) error {
	var errs []error
	var same *peer
	var left origin
	for _, p := range z.asked() {
		newest, its, err := z.refreshFrom(ctx, p)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", p, err))
		case newest:
			return nil
		case same == nil || its.longer(left):
			same, left = &p, its
		}
	}
	if same != nil {
		return z.confirm(nil, nil, *same, left)
	}
	return errors.Join(errs...)
}

// asked are the primaries in the order in which they are asked.
func (z *zone) asked() []peer {
	all := z.set.Load().primaries
	teller := z.teller.Swap(nil)
	if teller == nil || len(all) < 2 {
		return all
	}
	return startingWith(all, *teller)
}

// startingWith gives peers with the one at an address before the others.
func startingWith(all []peer, address netip.Addr) []peer {
	first := func(p peer) int {
		if addrOf(p) == address {
			return 0
		}
		return 1
	}
	return slices.SortedStableFunc(slices.Values(all), func(a, b peer) int { return first(a) - first(b) })
}

// refreshFrom asks a primary, and transfers the zone if that has a newer one: then
// newest is true. Without an error it has the same otherwise, with so much time left.
func (z *zone) refreshFrom(ctx context.Context, p peer) (newest bool, left origin, err error) {
	leave, err := z.m.primaries.at(p.addr).enter(ctx)
	if err != nil {
		return false, left, err
	}
	defer leave()
	begin := time.Now()
	serial, seconds, err := z.askSerial(ctx, p)
	if ctx.Err() != nil { // whatever it looks like
		return false, left, ctx.Err()
	}
	z.m.primaries.at(p.addr).heard(err)
	if err != nil {
		return false, left, err
	}
	left = origin{seconds}
	has := z.raw.Load()
	if has != nil && !newer(serial, has.Serial) {
		if serial != has.Serial {
			return false, left, fmt.Errorf("its serial number %d is older than the %d of the copy here", serial, has.Serial)
		}
		return false, left, nil
	}
	next, changes, err := z.fetch(ctx, p, has)
	if has != nil && err != nil && !silent(err) && ctx.Err() == nil {
		z.m.log.Info("an incremental transfer is not possible, so the whole zone is transferred", "zone", z.name, "from", p, "reason", err)
		next, changes, err = z.fetch(ctx, p, nil)
	}
	if err == nil && has != nil && (next == nil || !newer(next.Serial, has.Serial)) {
		err = fmt.Errorf("it announces serial number %d, but has nothing newer than the %d of the copy here when it is to send it", serial, has.Serial)
	}
	if err == nil {
		err = z.confirm(next, changes, p, left)
	}
	if err != nil {
		z.count.inFailed.Add(1)
		return false, left, err
	}
	kind := "AXFR"
	if changes != nil {
		kind = "IXFR"
	}
	z.count.in.Add(1)
	z.moved.Store(z.m.now().Unix())
	took := time.Since(begin).Round(time.Millisecond)
	z.changed()
	z.m.catalogChanged(z)
	z.copyTo(z.set.Load().File, next)
	z.m.log.Info("transferred a zone", "zone", z.name, "from", p, "as", kind, "serial", next.Serial, "took", took)
	return true, left, nil
}

// copyTo writes the copy of a zone that people may read, where one is wanted. Of a large
// zone that takes long: no other zone waits for it, nor who takes this one from here.
func (z *zone) copyTo(file string, next *zones.Zone) {
	if file == "" {
		return
	}
	said := ""
	var err error
	if parallel.Background(func() { err = writeCopy(file, next) }); err != nil {
		said = fmt.Sprintf("zone %s: its copy cannot be written: %v", z.name, err)
		z.m.log.Error("the copy of a zone cannot be written", "zone", z.name, "error", err)
	}
	z.uncopied.Store(&said)
}

// confirm notes that the copy is the newest, or puts the next version in its place.
func (z *zone) confirm(next *zones.Zone, changes []*change, p peer, left origin) error {
	z.m.edit.Lock()
	defer z.m.edit.Unlock()
	if z.m.state.Load().zones[string(z.apex)] != z {
		return context.Canceled // it went meanwhile
	}
	fresh, err := z.freshness(next, p, left)
	if err != nil {
		return err
	}
	z.primary.Store(&p)
	if next != nil {
		if err := z.install(next, changes); err != nil {
			return err
		}
	} else if z.lapsed.Load() {
		if err := z.m.host.Put([]*zones.Zone{z.raw.Load()}, nil, nil); err != nil {
			return err
		}
	}
	z.confirmed.Store(fresh.Unix())
	z.lapsed.Store(false)
	if err := z.journal.confirm(fresh); err != nil {
		z.m.log.Error("it cannot be noted that a zone is the newest", "zone", z.name, "error", err)
	}
	return nil
}

// freshness is when the copy, or the next version, was known to be the newest. What is
// known already stays: another way to the source may be the shorter one.
func (z *zone) freshness(next *zones.Zone, p peer, left origin) (time.Time, error) {
	now := z.m.now()
	if next != nil {
		return left.confirmed(now, next), nil
	}
	raw := z.raw.Load()
	fresh := left.confirmed(now, raw)
	if own := time.Unix(z.confirmed.Load(), 0); own.After(fresh) {
		fresh = own
	}
	if z.lapsed.Load() && !now.Before(fresh.Add(timersOf(raw).expire)) {
		return fresh, fmt.Errorf("%s: its copy is as old as the one here", p)
	}
	return fresh, nil
}

// expire stops serving a zone whose copy is too old (RFC 1035, section 3.3.13).
func (z *zone) expire() {
	if z.raw.Load() == nil || z.lapsed.Load() || !z.expired(z.m.now()) {
		return
	}
	z.m.edit.Lock()
	defer z.m.edit.Unlock()
	if z.m.state.Load().zones[string(z.apex)] != z {
		return
	}
	absent, err := zones.Absent(z.name, z.set.Load().File)
	if err == nil {
		err = z.m.host.Put([]*zones.Zone{absent}, nil, nil)
	}
	if err != nil {
		z.m.log.Error("an expired zone is still served", "zone", z.name, "error", err)
		return
	}
	z.lapsed.Store(true)
	z.m.log.Error("a zone has expired: no primary could be reached for too long, and it is answered SERVFAIL", "zone", z.name)
}

// wake makes follow ask the primaries now.
func (z *zone) wake() {
	select {
	case z.kick <- struct{}{}:
	default: // it is about to
	}
}

// note remembers how the last refresh went, for the status and the log.
func (z *zone) note(err error) {
	text := ""
	if err != nil {
		text = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	old := z.fault.Swap(&text)
	switch {
	case text != "" && (old == nil || *old != text):
		z.m.log.Warn("a zone cannot be refreshed", "zone", z.name, "error", text)
	case text == "" && old != nil && *old != "":
		z.m.log.Info("a zone is refreshed again", "zone", z.name)
	}
}

// plan notes when the primaries are asked next.
func (z *zone) plan(wait time.Duration) { z.due.Store(z.m.now().Add(wait).Unix()) }
