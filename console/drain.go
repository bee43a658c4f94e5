package console

import (
	"fmt"
	"net/http"
	"time"

	"gslb/health"
)

// GET /api/v1/drain/{site}?quiet=1m
func (s *Server) getDrain(w http.ResponseWriter, r *http.Request) error {
	var quiet time.Duration
	if text := r.URL.Query().Get("quiet"); text != "" {
		var err error
		if quiet, err = time.ParseDuration(text); err != nil || quiet < time.Second {
			return fmt.Errorf("%w: quiet %.40q: must be a duration of a second or more, such as \"1m\"", ErrInvalid, text)
		}
	}
	p, err := s.backend.Drained(r.PathValue("site"), quiet)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, p)
	return nil
}

// drainTable shows the sites that are to get no new users, and who still comes.
func drainTable(s Status) *table {
	t := newTable("SITES THAT EMPTY", "SITE", "OPEN", "NEW", "EMPTY", "HOW FAR")
	for _, x := range s.Sites {
		p := x.Drain
		if p == nil {
			continue
		}
		open, came := "-", "-"
		if c := p.Clients; c != nil {
			open, came = fmt.Sprint(c.Open), fmt.Sprint(c.New)
		}
		empty := "not known"
		switch {
		case p.Safe:
			empty = "now"
		case !p.Empty.IsZero():
			empty = "in " + age(p.Empty.Sub(s.Now))
		}
		r := t.add(x.Site, open, came, empty, p.Text)
		for _, line := range DrainLines(*p) {
			r.note("%s", line)
		}
	}
	return t
}

// DrainLines are who still comes to a site, a line for each group of clients, and
// its oldest connections.
func DrainLines(p health.DrainProgress) (lines []string) {
	c := p.Clients
	if c == nil {
		return nil
	}
	for _, g := range c.Groups {
		line := fmt.Sprintf("from %s: %d open, %d new", whose(g.Operator, g.Country), g.Open, g.New)
		if g.New > 0 {
			line += ", the last " + age(g.Quiet) + " ago"
		}
		for i, n := range g.Networks {
			line += map[bool]string{true: "; ", false: ", "}[i == 0] + n
		}
		if g.More > 0 {
			line += fmt.Sprintf(" and %d more networks", g.More)
		}
		lines = append(lines, line)
	}
	if c.Rest > 0 {
		lines = append(lines, fmt.Sprintf("and %d more operators and countries", c.Rest))
	}
	for _, o := range c.Oldest {
		lines = append(lines, fmt.Sprintf("open for %s: %s (%s) to %s", age(o.Age), o.Client, whose(o.Operator, o.Country), o.Server))
	}
	if more := c.Open - int64(len(c.Oldest)); more > 0 && len(c.Oldest) > 0 {
		lines = append(lines, fmt.Sprintf("and %d more that are open", more))
	}
	if c.Ignored > 0 {
		lines = append(lines, fmt.Sprintf("%d connections of checkers and of drain.ignore are not counted", c.Ignored))
	}
	return lines
}

func whose(operator, country string) string {
	switch {
	case operator == "" && country == "":
		return "unknown networks"
	case operator == "":
		return country
	case country == "":
		return operator
	}
	return operator + ", " + country
}
