package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gslb/health"
	"gslb/history"
)

// Bounds of an override's texts, in characters, and of its life: one that
// outlives a year was meant to have no end, or is a slip of the unit.
const (
	maxWho  = 100
	maxWhy  = 500
	maxLife = 366 * 24 * time.Hour
)

// An overrideRequest is a health.Override that may say how long instead of until
// when, which needs no common clock.
type overrideRequest struct {
	health.Override
	For string `json:"for"` // a Go duration, "30m"
}

// POST /api/v1/override
func (s *Server) postOverride(w http.ResponseWriter, r *http.Request) error {
	o, err := readOverride(r, s.now())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	if err := s.backend.SetOverride(ctx, o); err != nil {
		return storeError(err)
	}
	s.metrics.overrides.WithLabelValues(string(o.Kind)).Inc()
	s.log.Info("override set", "site", o.Site, "kind", o.Kind, "who", o.Who, "why", o.Why, "until", o.Until, "remote", r.RemoteAddr)
	writeJSON(w, http.StatusOK, o)
	return nil
}

// orderIn reads who orders something, and why, of a request without a body.
func orderIn(r *http.Request) history.Order {
	q := r.URL.Query()
	return orderBy(r, history.Order{Who: q.Get("who"), Why: q.Get("why")})
}

// orderBy completes who orders something, and why, as it came.
func orderBy(r *http.Request, by history.Order) history.Order {
	by.Who, by.Why = strings.TrimSpace(by.Who), strings.TrimSpace(by.Why)
	if by.Who == "" {
		by.Who = remote(r).String()
	}
	return by
}

// DELETE /api/v1/override/{site}?who=lee&why=done
func (s *Server) deleteOverride(w http.ResponseWriter, r *http.Request) error {
	site := r.PathValue("site")
	by := orderIn(r)
	if err := checkTexts(by.Who, by.Why); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	done, err := s.backend.ClearOverride(ctx, site, by)
	if err != nil {
		return storeError(err)
	}
	if done {
		s.metrics.overrides.WithLabelValues("clear").Inc()
		s.log.Info("override cleared", "site", site, "who", by.Who, "why", by.Why, "remote", r.RemoteAddr)
	}
	writeJSON(w, http.StatusOK, cleared{done})
	return nil
}

// cleared is the answer to an override that is taken back: false, there was none.
type cleared struct {
	Cleared bool `json:"cleared"`
}

// storeError says that an order was not carried out, and why.
func storeError(err error) error {
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrInvalid) {
		return err
	}
	return refuse(http.StatusServiceUnavailable, "%v", err) // which says what was not done
}

// readOverride parses and checks the request's body.
func readOverride(r *http.Request, now time.Time) (health.Override, error) {
	var req overrideRequest
	if err := decode(r, &req); err != nil {
		return health.Override{}, err
	}
	o := req.Override
	o.Site, o.Who, o.Why = strings.TrimSpace(o.Site), strings.TrimSpace(o.Who), strings.TrimSpace(o.Why)
	o.Since = now.UTC().Truncate(time.Second) // when it was ordered is ours to say
	if o.Who == "" {
		o.Who = remote(r).String()
	}
	if err := until(&o, req.For, now); err != nil {
		return health.Override{}, err
	}
	return o, checkOverride(o)
}

// until sets the end of o, from how long it is to last if that is said.
func until(o *health.Override, life string, now time.Time) error {
	if life != "" {
		d, err := time.ParseDuration(life)
		switch {
		case err != nil || d <= 0:
			return fmt.Errorf("%w: for %.40q: must be a duration such as \"30m\" or \"2h\"", ErrInvalid, life)
		case !o.Until.IsZero():
			return fmt.Errorf("%w: both for and until are given: must be one of them", ErrInvalid)
		}
		o.Until = now.Add(d).UTC().Truncate(time.Second)
		if o.Until.Before(now) { // less than a second
			o.Until = now.Add(d).UTC()
		}
	}
	if o.Until.IsZero() {
		return nil
	}
	if o.Expired(now) {
		return fmt.Errorf("%w: until %s is over: must lie in the future", ErrInvalid, o.Until.Format(time.RFC3339))
	}
	if o.Until.Sub(now) > maxLife {
		return fmt.Errorf("%w: until %s: must be within a year, or left out to hold until it is taken back", ErrInvalid, o.Until.Format(time.RFC3339))
	}
	return nil
}

func checkOverride(o health.Override) error {
	if !o.Kind.Known() {
		return fmt.Errorf("%w: kind %.40q: must be \"drain\", \"up\", \"down\" or \"share\"", ErrInvalid, o.Kind)
	}
	if err := o.ShareFault(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if life := o.Until.Sub(o.Since); !o.Until.IsZero() && o.Over > life {
		return fmt.Errorf("%w: over %v: must be no more than it lasts, %v, or it never gets there", ErrInvalid, o.Over, life)
	}
	if o.Site == "" {
		return fmt.Errorf("%w: site is missing", ErrInvalid)
	}
	if err := checkTexts(o.Who, o.Why); err != nil {
		return err
	}
	return checkWhy(o.Why)
}

// checkWhy refuses an order without a reason.
func checkWhy(why string) error {
	if why == "" {
		return fmt.Errorf("%w: why is missing: must say why, for those who wonder later", ErrInvalid)
	}
	return nil
}

// checkTexts bounds who ordered something, and why.
func checkTexts(who, why string) error {
	for _, f := range []struct {
		name, text string
		limit      int
	}{{"who", who, maxWho}, {"why", why, maxWhy}} {
		if n := utf8.RuneCountInString(f.text); n > f.limit {
			return fmt.Errorf("%w: %s has %d characters: must be at most %d", ErrInvalid, f.name, n, f.limit)
		}
		if strings.ContainsFunc(f.text, unicode.IsControl) {
			return fmt.Errorf("%w: %s has a control character: must be one line of text", ErrInvalid, f.name)
		}
	}
	return nil
}
