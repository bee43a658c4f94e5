package speaker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"gslb/bgp"
)

// session is what is known of that with one neighbour.
type session struct{ bgp.NeighborStatus }

// states are the words of RFC 4271, section 8.2.2.
var states = map[packet.FSMState]string{
	packet.BGP_FSM_IDLE: "idle", packet.BGP_FSM_CONNECT: "connect", packet.BGP_FSM_ACTIVE: "active",
	packet.BGP_FSM_OPENSENT: "open sent", packet.BGP_FSM_OPENCONFIRM: "open confirm", packet.BGP_FSM_ESTABLISHED: bgp.Established,
}

// observe is told by GoBGP of each change of a session's state.
func (s *Speaker) observe(e *apiutil.WatchEventMessage_PeerEvent, _ time.Time) {
	if e.Type != apiutil.PEER_EVENT_STATE && e.Type != apiutil.PEER_EVENT_INIT {
		return
	}
	state, known := states[e.Peer.State.SessionState]
	if !known {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.session(e.Peer.State.NeighborAddress.String())
	if one == nil {
		return
	}
	reason := words(e.Peer.State.DisconnectReason, e.Peer.State.DisconnectMessage, one.AS)
	was := one.State
	one.State = state
	switch {
	case state == bgp.Established && was != state:
		one.Since, one.Error = s.opts.Now(), ""
		s.log.Info("bgp: session is up", "neighbour", one.Address, "as", one.AS)
		s.opts.Notice(fmt.Sprintf("BGP: the session with %s (AS %d) is up", one.Address, one.AS))
	case was == bgp.Established && state != was:
		one.Since, one.Error = s.opts.Now(), reason
		s.log.Warn("bgp: session is down", "neighbour", one.Address, "as", one.AS, "why", reason)
		s.opts.Notice(fmt.Sprintf("BGP: the session with %s (AS %d) is down: %s", one.Address, one.AS, reason))
	case reason != "" && reason != one.Error:
		one.Error = reason
		s.log.Warn("bgp: session does not come about", "neighbour", one.Address, "as", one.AS, "why", reason)
	}
}

// session returns that with the neighbour, or nil. Under mu.
func (s *Speaker) session(address string) *session {
	for _, one := range s.sessions {
		if one.Address == address {
			return one
		}
	}
	return nil
}

// words says why a session ended, or does not come about; empty: the state is on its way.
func words(reason api.PeerState_DisconnectReason, message string, as uint32) string {
	switch reason {
	case api.PeerState_DISCONNECT_REASON_BAD_PEER_AS:
		return wrongAS(as)
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT:
		return "this node ended it: " + strings.TrimPrefix(message, "notification-sent ")
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED, api.PeerState_DISCONNECT_REASON_HARD_RESET:
		if strings.Contains(message, packet.NewNotificationErrorCode(packet.BGP_ERROR_OPEN_MESSAGE_ERROR, packet.BGP_ERROR_SUB_BAD_PEER_AS).String()) {
			return wrongAS(as)
		}
		return "the neighbour ended it: " + strings.TrimPrefix(message, "notification-received ")
	case api.PeerState_DISCONNECT_REASON_HOLD_TIMER_EXPIRED:
		return "the neighbour was silent for the hold time"
	case api.PeerState_DISCONNECT_REASON_READ_FAILED, api.PeerState_DISCONNECT_REASON_WRITE_FAILED:
		return "the connection broke"
	case api.PeerState_DISCONNECT_REASON_INVALID_MSG:
		return "the neighbour sent what is no BGP"
	case api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART:
		return "the neighbour restarts"
	}
	return ""
}

func wrongAS(as uint32) string {
	return fmt.Sprintf("the neighbour is of another AS than %d, or knows this node by another: compare \"as\" of both ends", as)
}

// failed is told why a session with the neighbour does not come about, of which GoBGP
// tells in its log alone: a connect failed, or an OPEN was refused with this code.
func (s *Speaker) failed(neighbour, why string, code, subcode uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.session(neighbour)
	if one == nil || one.State == bgp.Established {
		return
	}
	switch {
	case code == packet.BGP_ERROR_OPEN_MESSAGE_ERROR && subcode == packet.BGP_ERROR_SUB_BAD_PEER_AS:
		why = wrongAS(one.AS)
	case code != 0:
		why = "this node ended it: " + packet.NewNotificationErrorCode(code, subcode).String()
	case strings.Contains(why, "timeout"):
		why += " (nobody is there, or has another password: the kernel drops what is not signed as it should be)"
	}
	if why != one.Error {
		one.Error = why
		s.log.Warn("bgp: session does not come about", "neighbour", one.Address, "as", one.AS, "why", why)
	}
}

// stoppedTwice is what GoBGP says when it is told to stop after the sessions have been, of
// which Stop alone ends what else it has started.
const stoppedTwice = "failed to stop BGP server"

// listener is the log of GoBGP: what it has to say on its way is for those who look
// closely (its notices of sessions are ours, in our words), and failed connects are heard.
type listener struct {
	slog.Handler
	failed    func(neighbour, why string, code, subcode uint8)
	neighbour string
}

// Enabled is part of slog.Handler.
func (l *listener) Enabled(context.Context, slog.Level) bool { return true }

// Handle is part of slog.Handler.
func (l *listener) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "failed to connect" || r.Message == "sent notification" {
		var why string
		var code, subcode uint8
		r.Attrs(func(a slog.Attr) bool {
			switch a.Key {
			case "Error":
				why = a.Value.String()
			case "Code":
				code = uint8(a.Value.Int64())
			case "Subcode":
				subcode = uint8(a.Value.Int64())
			}
			return true
		})
		if code != packet.BGP_ERROR_CEASE { // else it is the end of this node
			l.failed(l.neighbour, why, code, subcode)
		}
	}
	level := r.Level
	if r.Message == stoppedTwice {
		return nil
	}
	if level < slog.LevelError {
		level = slog.LevelDebug
	}
	if !l.Handler.Enabled(ctx, level) {
		return nil
	}
	out := slog.NewRecord(r.Time, level, "gobgp: "+r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(a)
		return true
	})
	return l.Handler.Handle(ctx, out)
}

// WithAttrs is part of slog.Handler.
func (l *listener) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *l
	next.Handler = l.Handler.WithAttrs(attrs)
	for _, a := range attrs {
		if a.Key == "Key" {
			next.neighbour = a.Value.String()
		}
	}
	return &next
}

// WithGroup is part of slog.Handler.
func (l *listener) WithGroup(name string) slog.Handler {
	next := *l
	next.Handler = l.Handler.WithGroup(name)
	return &next
}
