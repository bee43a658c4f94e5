package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gslb/history"
)

// Topology is what the fleet is to serve, and who serves what.
type Topology struct {
	// Follows: this node serves the topology in etcd, and not one of its own file.
	Follows bool         `json:"follows"`
	Serving int64        `json:"serving"`           // the revision that this node serves; 0: none, or of its own file
	Wanted  int64        `json:"wanted,omitempty"`  // that it is to serve, where that is another
	Problem string       `json:"problem,omitempty"` // why it does not
	Head    history.Head `json:"head"`              // as this node knows it; Newest 0: nothing was ever applied
	Nodes   []FleetNode  `json:"nodes"`             // of the fleet
}

// TopologyOrder changes what the fleet serves.
type TopologyOrder struct {
	history.Order
	// Action is "apply", "rollback", "promote" or "drop" (a canary).
	Action string `json:"action"`
	// Base is the newest revision that the order was made for; another one that
	// has come meanwhile refuses it. Negative: whatever there is.
	Base   int64    `json:"base"`
	Packed []byte   `json:"packed,omitempty"` // of apply: a packed history.Bundle
	Canary []string `json:"canary,omitempty"` // of apply: the nodes that serve it first; empty: all
	Share  float64  `json:"share,omitempty"`  // of apply: the share of the clients' networks that get it first; 0: all
	To     int64    `json:"to,omitempty"`     // of rollback: the revision whose content is to come again
	DryRun bool     `json:"dry_run,omitempty"`
	Force  bool     `json:"force,omitempty"` // even when it would take a site above its capacity
	Total  float64  `json:"total,omitempty"` // the load to expect in all; 0: what the balancers report
}

// The actions of a TopologyOrder.
const (
	ActionApply    = "apply"
	ActionRollback = "rollback"
	ActionPromote  = "promote"
	ActionDrop     = "drop"
)

// TopologyResult is what became of an order.
type TopologyResult struct {
	Head     history.Head `json:"head"`     // afterwards; of a dry run: as it is
	Revision int64        `json:"revision"` // that is to be served now by those whom the order is for
	Plan     string       `json:"plan"`     // what it moves, for a terminal; may be empty
	// Overloaded are the sites that it takes above their capacity.
	Overloaded []string `json:"overloaded"`
	// TooLarge is why nodes would hold it, "" if they would not: see [breaker] max_space_lost.
	TooLarge string   `json:"too_large,omitempty"`
	Warnings []string `json:"warnings"`
}

// Content is a revision with its files.
type Content struct {
	Revision history.Revision `json:"revision"`
	Packed   []byte           `json:"packed"`
}

// Bounds of what is sent with an order (in base64, with some more around it) and
// of how long it may take to read a topology with large databases.
const (
	maxOrderBytes = history.MaxPacked*4/3 + 64<<10
	orderTimeout  = 5 * time.Minute
)

// GET /api/v1/topology
func (s *Server) getTopology(w http.ResponseWriter, _ *http.Request) error {
	t := s.backend.Topology()
	t.Nodes = list(t.Nodes)
	writeJSON(w, http.StatusOK, t)
	return nil
}

// POST /api/v1/topology
func (s *Server) postTopology(w http.ResponseWriter, r *http.Request) error {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(orderTimeout)) // not every writer has deadlines
	_ = c.SetWriteDeadline(time.Now().Add(orderTimeout))
	var o TopologyOrder
	if err := decode(r, &o); err != nil {
		return err
	}
	if o.Who == "" {
		o.Who = remote(r).String()
	}
	if err := o.Order.Validate(); err != nil && !o.DryRun {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), orderTimeout)
	defer cancel()
	res, err := s.backend.OrderTopology(ctx, o)
	if err != nil {
		return historyError(err)
	}
	if !o.DryRun {
		s.log.Info("topology ordered", "action", o.Action, "revision", res.Revision, "who", o.Who, "why", o.Why, "remote", r.RemoteAddr)
	}
	res.Warnings, res.Overloaded = list(res.Warnings), list(res.Overloaded)
	writeJSON(w, http.StatusOK, res)
	return nil
}

// historyError gives an error of the history the status that fits.
func historyError(err error) error {
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrInvalid), errors.Is(err, ErrForbidden):
		return err
	case errors.Is(err, history.ErrNotFound):
		return refuse(http.StatusNotFound, "%v", err)
	case errors.Is(err, history.ErrConflict):
		return refuse(http.StatusConflict, "%v", err)
	}
	return refuse(http.StatusServiceUnavailable, "%v", err)
}

// GET /api/v1/topology/revisions?limit=20
func (s *Server) getRevisions(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r, 0)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	all, err := s.backend.Revisions(ctx, limit)
	if err != nil {
		return historyError(err)
	}
	writeJSON(w, http.StatusOK, list(all))
	return nil
}

// GET /api/v1/topology/revisions/{number}. A topology may hold secrets, as of TSIG.
func (s *Server) getRevision(w http.ResponseWriter, r *http.Request) error {
	if e := s.guard.trusted(r, "read a topology"); e != nil {
		return e
	}
	n, ok := history.Number(r.PathValue("number"))
	if !ok {
		return fmt.Errorf("%w: revision %.40q: must be a number", ErrInvalid, r.PathValue("number"))
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*storeTimeout)
	defer cancel()
	c, err := s.backend.Content(ctx, n)
	if err != nil {
		return historyError(err)
	}
	writeJSON(w, http.StatusOK, c)
	return nil
}

// Differences is the answer of /api/v1/topology/diff.
type Differences struct {
	From  int64    `json:"from"` // revisions; 0: nothing
	To    int64    `json:"to"`
	Lines []string `json:"lines"` // one each, as gslb diff prints them
}

// GET /api/v1/topology/diff?from=3&to=4. A topology may hold secrets.
func (s *Server) getDifferences(w http.ResponseWriter, r *http.Request) error {
	if e := s.guard.trusted(r, "read a topology"); e != nil {
		return e
	}
	d := Differences{}
	for k, to := range map[string]*int64{"from": &d.From, "to": &d.To} {
		text := r.URL.Query().Get(k)
		n, ok := history.Number(text)
		if !ok && text != "0" {
			return fmt.Errorf("%w: %s %.40q: must be the number of a revision", ErrInvalid, k, text)
		}
		*to = n
	}
	ctx, cancel := context.WithTimeout(r.Context(), 4*storeTimeout)
	defer cancel()
	lines, err := s.backend.Differences(ctx, d.From, d.To)
	if err != nil {
		return historyError(err)
	}
	d.Lines = list(lines)
	writeJSON(w, http.StatusOK, d)
	return nil
}

// GET /api/v1/events?since=2026-01-02T15:04:05Z&site=kt&kind=health&limit=100; since may
// be a duration, "2h", too.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r, 1000)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	f := history.Filter{Site: q.Get("site"), Kind: q.Get("kind"), Limit: limit}
	if f.Kind != "" && !slices.Contains(history.Kinds, f.Kind) {
		return fmt.Errorf("%w: kind %.40q: must be one of %s", ErrInvalid, f.Kind, strings.Join(history.Kinds, ", "))
	}
	if since := q.Get("since"); since != "" {
		if f.Since, err = Since(since, s.now()); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	events, err := s.backend.Events(ctx, f)
	if err != nil {
		return historyError(err)
	}
	writeJSON(w, http.StatusOK, list(events))
	return nil
}

// Since reads a moment of the past: an age such as "2h" or "3d", a time as RFC
// 3339 has it, or a date.
func Since(s string, now time.Time) (time.Time, error) {
	text := s
	var days time.Duration
	if n, err := strconv.Atoi(trimDay(s)); err == nil && trimDay(s) != s && n >= 0 && n < 40_000 {
		days, text = time.Duration(n)*24*time.Hour, "0s"
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-days - d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("since %.40q: must be an age such as \"2h\" or \"3d\", or a time such as %q", s, now.UTC().Format(time.RFC3339))
}

func trimDay(s string) string {
	if len(s) > 1 && s[len(s)-1] == 'd' {
		return s[:len(s)-1]
	}
	return s
}

func limitOf(r *http.Request, or int) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return or, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 10_000 {
		return 0, fmt.Errorf("%w: limit %.20q: must be a number from 1 to 10000", ErrInvalid, text)
	}
	return n, nil
}

// topologyText says which revision is served, or "" where it is the node's own file.
func topologyText(t Topology) string {
	if !t.Follows {
		return ""
	}
	text := "topology revision " + strconv.FormatInt(t.Serving, 10)
	if t.Serving == 0 && t.Wanted > 0 {
		text = "no topology is served"
	} else if t.Serving == 0 {
		text = "no topology yet (gslb apply writes one)"
	} else if c := t.Head.Canary; c != nil && c.Number == t.Serving {
		text += fmt.Sprintf(", a CANARY (stable: %d), by %s: %s", t.Head.Stable.Number, c.Who, c.Why)
	} else if r := t.Head.Stable; r.Number == t.Serving {
		text += fmt.Sprintf(", by %s at %s: %s", r.Who, r.When.Local().Format(time.DateTime), r.Why)
	}
	if c := t.Head.Canary; c != nil && c.Number != t.Serving {
		text += fmt.Sprintf("; revision %d is a CANARY on %v", c.Number, canaryWords(c.First))
	}
	if t.Problem != "" {
		text += fmt.Sprintf("; revision %d is NOT SERVED", t.Wanted)
	}
	return text
}

func canaryWords(f history.First) string {
	if f.Share > 0 {
		return f.String()
	}
	return fmt.Sprint(f.Nodes)
}

// eventText is what happened, in a line.
func eventText(e history.Event) string {
	text := e.Text
	if e.Revision > 0 {
		text = fmt.Sprintf("revision %d: %s", e.Revision, text)
	}
	if e.Site != "" {
		text = e.Site + ": " + text
	}
	if e.Who != "" {
		text += ", by " + e.Who
	}
	if e.Why != "" {
		text += ": " + e.Why
	}
	return text
}

// WriteEvents prints a time line, the oldest first.
func WriteEvents(w io.Writer, events []history.Event) error {
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		if _, err := fmt.Fprintf(w, "%s  %-8s  %s\n", e.At.Local().Format("2006-01-02 15:04:05.000"), clean(e.Kind), clean(eventText(e))); err != nil {
			return err
		}
	}
	return nil
}

// WriteRevisions prints revisions, the newest first, and what is served of them.
func WriteRevisions(w io.Writer, all []history.Revision, t Topology) error {
	out := newTable("REVISIONS OF THE TOPOLOGY", "REVISION", "WHEN", "WHO", "WHAT", "FILES", "SERVED BY", "WHY")
	for _, r := range all {
		what := "apply"
		if r.From > 0 {
			what = fmt.Sprintf("rollback to %d", r.From)
		}
		by := ""
		for _, n := range t.Nodes {
			if n.Follows && n.Revision == r.Number {
				by += " " + n.Name
			}
		}
		mark := strconv.FormatInt(r.Number, 10)
		if r.Number == t.Head.Stable.Number {
			mark += " *"
		}
		if c := t.Head.Canary; c != nil && c.Number == r.Number {
			mark += " CANARY"
		}
		out.add(mark, r.When.Local().Format(time.DateTime), r.Who, what, strconv.Itoa(r.Files), or(by, "-"), r.Why)
	}
	return out.write(w)
}
