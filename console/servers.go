package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gslb/balancer"
)

// FrontendList is the answer of /api/v1/frontends.
type FrontendList struct {
	Now       time.Time                 `json:"now"`
	Frontends []balancer.FrontendStatus `json:"frontends"`
	Events    []balancer.Event          `json:"events"` // the last ones, oldest first
	Hooks     []balancer.HookStatus     `json:"hooks"`
}

// What ServerOrder.Do may be.
const (
	DrainServer   = "drain"   // no new connections
	UndrainServer = "undrain" // connections again
	AddServer     = "add"     // behind the frontend, beside those of the configuration
	RemoveServer  = "remove"  // one that was added
)

// ServerOrder changes what a balancer does with a server. It is this node's alone.
type ServerOrder struct {
	Do       string `json:"do"`
	Frontend string `json:"frontend"`
	Address  string `json:"address"` // host:port
	// Within is how long the connections of a server that drains may last, in seconds;
	// 0: the frontend's drain_timeout. TTL is how long one that is added stays unless it is
	// added again; 0: until it is removed.
	Within float64 `json:"within,omitempty"`
	TTL    float64 `json:"ttl,omitempty"`
	// The rest is of a server that is added, as in [[frontend.server]].
	Weight         float64 `json:"weight,omitempty"`
	Capacity       float64 `json:"capacity,omitempty"`
	MaxConnections int     `json:"max_connections,omitempty"`
	Zone           string  `json:"zone,omitempty"`
	Spare          bool    `json:"spare,omitempty"`
	Who            string  `json:"who,omitempty"`
	Why            string  `json:"why,omitempty"`
}

// ConnectionList is the answer of /api/v1/connections.
type ConnectionList struct {
	Matching    int                        `json:"matching"` // connections that were asked for, listed or not
	Connections []balancer.Connection      `json:"connections,omitempty"`
	Top         []balancer.ConnectionGroup `json:"top,omitempty"`
}

// ConnectionQuery tells which connections are wanted; Top groups them by one of
// balancer.ConnectionGroupings, "" lists them.
type ConnectionQuery struct {
	balancer.ConnectionFilter
	Top string
}

var errNoBalancer = fmt.Errorf("%w: this node has no balancer (its roles lack \"balancer\")", ErrNotFound)

// GET /api/v1/frontends
func (s *Server) getFrontends(w http.ResponseWriter, _ *http.Request) error {
	l, ok := s.backend.Frontends()
	if !ok {
		return errNoBalancer
	}
	l.Now = s.now()
	l.Frontends, l.Events, l.Hooks = list(l.Frontends), list(l.Events), list(l.Hooks)
	writeJSON(w, http.StatusOK, l)
	return nil
}

// GET /api/v1/connections. Addresses of clients are not for everybody.
func (s *Server) getConnections(w http.ResponseWriter, r *http.Request) error {
	if e := s.guard.trusted(r, "see the addresses of clients"); e != nil {
		return e
	}
	q, err := connectionQuery(r.URL.Query())
	if err != nil {
		return err
	}
	l, ok := s.backend.Connections(q)
	if !ok {
		return errNoBalancer
	}
	writeJSON(w, http.StatusOK, l)
	return nil
}

func connectionQuery(v url.Values) (q ConnectionQuery, err error) {
	for k, all := range v {
		if len(all) != 1 {
			return q, fmt.Errorf("%w: parameter %q is given %d times", ErrInvalid, k, len(all))
		}
		text := strings.TrimSpace(all[0])
		bad := func(want string) error {
			return fmt.Errorf("%w: %s %.80q: must be %s", ErrInvalid, k, text, want)
		}
		switch k {
		case "frontend":
			q.Frontend = text
		case "server":
			q.Server = text
		case "client":
			p, err := netip.ParsePrefix(text)
			if a, e := netip.ParseAddr(text); e == nil {
				p, err = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
			}
			if err != nil {
				return q, bad("an IP address or network such as 203.0.113.0/24")
			}
			q.Client = p.Masked()
		case "min_age", "min_idle":
			d, err := time.ParseDuration(text)
			if err != nil || d < 0 {
				return q, bad("a time such as 30s")
			}
			if k == "min_age" {
				q.MinAge = d
			} else {
				q.MinIdle = d
			}
		case "sort":
			if !slices.Contains(balancer.ConnectionSorts(), text) {
				return q, bad("one of " + strings.Join(balancer.ConnectionSorts(), ", "))
			}
			q.Sort = text
		case "top":
			if !slices.Contains(balancer.ConnectionGroupings(), text) {
				return q, bad("one of " + strings.Join(balancer.ConnectionGroupings(), ", "))
			}
			q.Top = text
		case "limit":
			if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > balancer.MostConnectionsListed {
				return q, bad(fmt.Sprintf("a number of 1 to %d", balancer.MostConnectionsListed))
			}
		default:
			return q, fmt.Errorf("%w: parameter %.40q: must be frontend, server, client, min_age, min_idle, sort, top or limit", ErrInvalid, k)
		}
	}
	return q, nil
}

// POST /api/v1/frontends/{name}/servers
func (s *Server) postServer(w http.ResponseWriter, r *http.Request) error {
	var o ServerOrder
	if err := decode(r, &o); err != nil {
		return err
	}
	if o.Frontend == "" {
		o.Frontend = r.PathValue("name")
	}
	o.Who, o.Why = strings.TrimSpace(o.Who), strings.TrimSpace(o.Why)
	if o.Who == "" {
		o.Who = remote(r).String()
	}
	if err := checkTexts(o.Who, o.Why); err != nil {
		return err
	}
	switch {
	case !slices.Contains([]string{DrainServer, UndrainServer, AddServer, RemoveServer}, o.Do):
		return fmt.Errorf("%w: do %.40q: must be %s, %s, %s or %s", ErrInvalid, o.Do, DrainServer, UndrainServer, AddServer, RemoveServer)
	case o.Frontend != r.PathValue("name"):
		return fmt.Errorf("%w: frontend %.80q: the path says %q", ErrInvalid, o.Frontend, r.PathValue("name"))
	case o.Address == "":
		return fmt.Errorf("%w: address is missing: must be the server's host:port", ErrInvalid)
	case !(o.Within >= 0 && o.Within <= 7*86400):
		return fmt.Errorf("%w: within %v: must be 0 to 604800 seconds", ErrInvalid, o.Within)
	case !(o.TTL == 0 || o.TTL >= 1 && o.TTL <= 7*86400):
		return fmt.Errorf("%w: ttl %v: must be 1 to 604800 seconds, or 0 (none)", ErrInvalid, o.TTL)
	}
	switch err := s.backend.OrderServer(o); {
	case errors.Is(err, balancer.ErrUnknown):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, balancer.ErrConfigured):
		return refuse(http.StatusConflict, "%v", err)
	case err != nil && statusOf(err) == http.StatusInternalServerError:
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	case err != nil:
		return err
	}
	if o.TTL == 0 { // else it comes every few seconds
		s.log.Info("server ordered", "do", o.Do, "frontend", o.Frontend, "server", o.Address, "who", o.Who, "why", o.Why, "remote", r.RemoteAddr)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Frontends is what the node's balancer does.
func (c *Client) Frontends(ctx context.Context) (FrontendList, error) {
	var l FrontendList
	err := c.do(ctx, http.MethodGet, "/api/v1/frontends", nil, &l)
	return l, err
}

// Connections gives the node's open connections that q wants.
func (c *Client) Connections(ctx context.Context, q ConnectionQuery) (ConnectionList, error) {
	v := url.Values{}
	set := func(k, text string) {
		if text != "" {
			v.Set(k, text)
		}
	}
	set("frontend", q.Frontend)
	set("server", q.Server)
	set("sort", q.Sort)
	set("top", q.Top)
	if q.Client.IsValid() {
		set("client", q.Client.String())
	}
	if q.MinAge > 0 {
		set("min_age", q.MinAge.String())
	}
	if q.MinIdle > 0 {
		set("min_idle", q.MinIdle.String())
	}
	if q.Limit > 0 {
		set("limit", strconv.Itoa(q.Limit))
	}
	var l ConnectionList
	err := c.do(ctx, http.MethodGet, "/api/v1/connections?"+v.Encode(), nil, &l)
	return l, err
}

// OrderServer has the node do something with a server.
func (c *Client) OrderServer(ctx context.Context, o ServerOrder) error {
	return c.do(ctx, http.MethodPost, "/api/v1/frontends/"+url.PathEscape(o.Frontend)+"/servers", o, nil)
}
