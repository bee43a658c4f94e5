package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gslb/forecast"
)

// SimulateQuery says what to take for other than it is. Sites that it does not name are
// as the node sees them.
type SimulateQuery struct {
	Down, Drain, Up []string // sites taken for down, draining, up
	// Total is the load to expect in all; 0: what the balancers report.
	Total float64
	// Most is how many moves of each name are listed; 0: none.
	Most int
}

// OneDown is what happens when one site is down.
type OneDown struct {
	Down string `json:"down"`
	*forecast.Comparison
}

// Bounds of a simulation: of the moves that are listed, and of how long it may take to
// count users when the node is busy.
const (
	mostMoves       = 100
	simulateTimeout = 2 * time.Minute
)

// GET /api/v1/simulate?down=kt&drain=cn&total=5000&most=20 is a forecast.Comparison.
func (s *Server) getSimulate(w http.ResponseWriter, r *http.Request) error {
	q, err := simulateQuery(r.URL.Query())
	if err != nil {
		return err
	}
	ctx, cancel := simulating(w, r)
	defer cancel()
	c, err := s.backend.Simulate(ctx, q)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, c)
	return nil
}

// GET /api/v1/simulate/each takes each single site for down in turn: []OneDown.
func (s *Server) getSimulateEach(w http.ResponseWriter, r *http.Request) error {
	q, err := simulateQuery(r.URL.Query())
	if err != nil {
		return err
	}
	ctx, cancel := simulating(w, r)
	defer cancel()
	all, err := s.backend.SimulateEach(ctx, q)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, list(all))
	return nil
}

// simulating gives a request the time that the first count of users takes.
func simulating(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(simulateTimeout + writeTimeout)) // not every writer has deadlines
	return context.WithTimeout(r.Context(), simulateTimeout)
}

func simulateQuery(v url.Values) (q SimulateQuery, err error) {
	sites := map[string]*[]string{"down": &q.Down, "drain": &q.Drain, "up": &q.Up}
	for k, all := range v {
		if to := sites[k]; to != nil {
			*to = append(*to, all...)
			continue
		}
		text := strings.TrimSpace(all[0])
		switch {
		case !slices.Contains([]string{"total", "most"}, k):
			return q, fmt.Errorf("%w: parameter %.40q: must be down, drain, up, total or most", ErrInvalid, k)
		case len(all) != 1:
			return q, fmt.Errorf("%w: parameter %q is given %d times", ErrInvalid, k, len(all))
		case k == "total":
			if q.Total, err = strconv.ParseFloat(text, 64); err != nil || !(q.Total > 0 && q.Total < 1e18) {
				return q, fmt.Errorf("%w: total %.40q: must be a load above 0", ErrInvalid, text)
			}
		default:
			if q.Most, err = strconv.Atoi(text); err != nil || q.Most < 1 || q.Most > mostMoves {
				return q, fmt.Errorf("%w: most %.40q: must be a number of 1 to %d", ErrInvalid, text, mostMoves)
			}
		}
	}
	return q, nil
}
