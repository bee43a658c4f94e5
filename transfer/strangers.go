package transfer

import (
	"context"
	"log/slog"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// strangers is the log of what is refused to senders who have not proved who they are.
// Anybody can send such messages, under anybody's address and as fast as the line takes
// them, and must not fill a disk with them.
type strangers struct {
	log    *slog.Logger
	room   *rate.Limiter
	unsaid atomic.Uint64 // lines that were left out since the last one
}

const (
	strangersAtOnce = 20 // lines
	strangersPerSec = 1  // lines a second, in the long run
)

func newStrangers(log *slog.Logger) *strangers {
	return &strangers{log: log, room: rate.NewLimiter(strangersPerSec, strangersAtOnce)}
}

// say writes a line, or leaves it out and has the next one say so.
func (s *strangers) say(level slog.Level, text string, args ...any) {
	if !s.room.Allow() {
		s.unsaid.Add(1)
		return
	}
	if n := s.unsaid.Swap(0); n > 0 {
		args = append(args, "left_out", n)
	}
	s.log.Log(context.Background(), level, text, args...)
}

// refused writes that a request is refused: each time where it was signed with a key that
// is known here.
func (m *Manager) refused(r *request, text string, args ...any) {
	if r.session.key != nil {
		m.log.Info(text, args...)
		return
	}
	m.strangers.say(slog.LevelInfo, text, args...)
}
