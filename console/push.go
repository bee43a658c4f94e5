package console

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gslb/health"
)

// Bounds of what an application reports.
const (
	maxDetail  = 200 // characters
	maxPushTTL = 24 * time.Hour
)

// Push is what an application reports of itself, for a check of type push.
type Push struct {
	Check   string        // the name of the check
	Target  string        // a site or a frontend
	Address string        // one of the target's addresses; "": all of them
	State   health.State  // Up, Degraded or Down
	TTL     time.Duration // how long it counts; 0: as the check says
	Detail  string        // for people
	// Generation is the content generation that it serves; "": it does not say.
	Generation string
}

// pushRequest is a Push as it is sent.
type pushRequest struct {
	Check      string       `json:"check"`
	Target     string       `json:"target"`
	Address    string       `json:"address"`
	State      health.State `json:"state"`
	TTL        string       `json:"ttl"`
	Detail     string       `json:"detail"`
	Generation string       `json:"generation"`
}

// POST /api/v1/push
func (s *Server) postPush(w http.ResponseWriter, r *http.Request) error {
	p, err := readPush(r)
	if err != nil {
		return err
	}
	if err := s.backend.Push(p); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func readPush(r *http.Request) (Push, error) {
	var q pushRequest
	if err := decode(r, &q); err != nil {
		return Push{}, err
	}
	p := Push{Check: q.Check, Target: q.Target, Address: q.Address, State: q.State, Detail: strings.TrimSpace(q.Detail), Generation: q.Generation}
	switch {
	case p.Check == "":
		return Push{}, fmt.Errorf("%w: check is missing", ErrInvalid)
	case p.Target == "":
		return Push{}, fmt.Errorf("%w: target is missing: must be the name of a site or frontend", ErrInvalid)
	case p.State == health.Unknown:
		return Push{}, fmt.Errorf("%w: state is missing: must be \"up\", \"degraded\" or \"down\"", ErrInvalid)
	case utf8.RuneCountInString(p.Detail) > maxDetail || strings.ContainsFunc(p.Detail, unicode.IsControl):
		return Push{}, fmt.Errorf("%w: detail must be one line of at most %d characters", ErrInvalid, maxDetail)
	}
	if health.Generation(p.Generation) != p.Generation {
		return Push{}, fmt.Errorf("%w: generation must be one word of at most %d characters, without commas", ErrInvalid, health.MaxGeneration)
	}
	if q.TTL != "" {
		ttl, err := time.ParseDuration(q.TTL)
		if err != nil || ttl < time.Second || ttl > maxPushTTL {
			return Push{}, fmt.Errorf("%w: ttl %.40q: must be a duration from 1s to 24h, such as \"30s\"", ErrInvalid, q.TTL)
		}
		p.TTL = ttl
	}
	return p, nil
}
