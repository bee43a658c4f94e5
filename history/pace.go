package history

import (
	"fmt"
	"time"
)

// Pace bounds how many events one source writes to the time line: burst of them at
// once, then one each gap. What it leaves out is counted, and told in an event of its own. The
// values are of one goroutine.
type Pace struct {
	burst int
	gap   time.Duration

	room float64   // events that may be written now
	at   time.Time // as of then
	left int       // events left out since the last one that was written
	last Event     // of these
}

// NewPace returns a Pace with all its room.
func NewPace(burst int, gap time.Duration) *Pace {
	return &Pace{burst: burst, gap: gap, room: float64(burst)}
}

// Take gives what is to be written of an event that happens now: it, and what was left
// out before it, or nothing.
func (p *Pace) Take(e Event, now time.Time) []Event {
	p.fill(now)
	if p.room < 1 || p.left > 0 && p.room < 2 {
		p.left, p.last = p.left+1, e
		return nil
	}
	out := append(p.Flush(now), e)
	p.room--
	return out
}

// Flush gives the event that tells of those left out, once there is room for it; it is
// to be called at Next.
func (p *Pace) Flush(now time.Time) []Event {
	p.fill(now)
	if p.left == 0 || p.room < 1 {
		return nil
	}
	e := p.last
	if p.left > 1 {
		e.Site, e.Text = "", fmt.Sprintf("%d events are left out here; the last: %s", p.left, e.Text)
	}
	p.room--
	p.left = 0
	return []Event{e}
}

// Next is when to call Flush; zero: nothing was left out.
func (p *Pace) Next(now time.Time) time.Time {
	p.fill(now)
	if p.left == 0 {
		return time.Time{}
	}
	return now.Add(time.Duration(max(1-p.room, 0) * float64(p.gap)))
}

func (p *Pace) fill(now time.Time) {
	if past := now.Sub(p.at); !p.at.IsZero() && past > 0 {
		p.room = min(float64(p.burst), p.room+float64(past)/float64(p.gap))
	}
	p.at = now
}
