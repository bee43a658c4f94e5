package probe

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"gslb/health"
)

// Pushed is what an application has reported of itself.
type Pushed struct {
	Check   string // the name of a check of type push
	Target  string // the name of the target: a site or a frontend
	Address string // of the target's addresses the one that is meant; "": all
	State   health.State
	TTL     time.Duration // how long it counts; 0: as the check says
	Detail  string
	// Generation is the content generation that it serves; "": it does not say.
	Generation string
}

// Board is where applications report and push checks look. It is safe for
// concurrent use, and made by [NewBoard]. It bounds nothing: the caller lets in
// only what belongs to a check.
type Board struct {
	mu    sync.Mutex
	began time.Time
	notes map[pushKey]note
	hurry map[*Runner]bool // that look at once
}

type pushKey struct{ check, target, address string }

type note struct {
	Pushed
	at time.Time
}

// NewBoard returns an empty Board.
func NewBoard() *Board { return &Board{began: time.Now(), notes: map[pushKey]note{}} }

// Report notes what an application says. Checks that wait for it look at once.
func (b *Board) Report(p Pushed) {
	key := pushKey{p.Check, p.Target, p.Address}
	b.mu.Lock()
	old := b.notes[key]
	b.notes[key] = note{p, time.Now()}
	runners := slices.Collect(maps.Keys(b.hurry))
	b.mu.Unlock()
	if old.State == p.State && old.Generation == p.Generation && time.Since(old.at) < time.Second {
		return // nothing new, and the checks come by on their own
	}
	for _, r := range runners {
		r.hurry(key)
	}
}

// Keep forgets the notes of checks that are gone.
func (b *Board) Keep(wanted func(check, target string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.notes, func(k pushKey, _ note) bool { return !wanted(k.check, k.target) })
}

// read returns the newest of what is noted of one address and of the whole target.
func (b *Board) read(check string, t Target) (note, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one, ok1 := b.notes[pushKey{check, t.Name, t.Address}]
	all, ok2 := b.notes[pushKey{check, t.Name, ""}]
	if ok1 && (!ok2 || one.at.After(all.at)) {
		return one, true
	}
	return all, ok2
}

// pushProber sends nothing: it looks at what the application has reported.
type pushProber struct {
	board  *Board
	check  string
	target Target
	ttl    time.Duration
	down   bool // a report that has run out means down
}

func newPush(c Config, t Target, _ string, m *means) (Prober, error) {
	board := m.board
	if board == nil {
		board = NewBoard() // where nobody reports
	}
	return &pushProber{board, c.Name, t, c.TTL, c.OnExpiry == "down"}, nil
}

func (p *pushProber) Probe(context.Context) (Seen, error) {
	n, ok := p.board.read(p.check, p.target)
	now, ttl, since := time.Now(), p.ttl, n.at
	if n.TTL > 0 {
		ttl = n.TTL
	}
	if !ok {
		since = p.board.began // an application has its time to report after our start, too
	}
	if ok && now.Sub(since) <= ttl {
		detail := "reported " + n.State.String()
		if text := printable(n.Detail); text != "" {
			detail += ": " + text
		}
		return Seen{Said: n.State, Detail: detail, Generation: health.Generation(n.Generation)}, nil
	}
	what := fmt.Sprintf("the last report, %s, is older than its %v", n.State, ttl)
	if !ok {
		what = "nothing has been reported to this node"
	}
	if p.down && now.Sub(since) > ttl {
		return Seen{Said: health.Down, Detail: what}, nil
	}
	return Seen{}, fmt.Errorf("%w: %s", ErrNotProbed, what)
}

func (c Config) validatePush(bad func(key, msg string)) {
	if c.TTL < time.Second || c.TTL > maxTTL {
		bad("ttl", fmt.Sprintf("%v: must be 1s to 24h", c.TTL))
	}
	if c.OnExpiry != "unknown" && c.OnExpiry != "down" {
		bad("on_expiry", fmt.Sprintf(`%q: must be "unknown" or "down"`, c.OnExpiry))
	}
}
