package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gslb/health"
	"gslb/history"
)

// maxAnswer bounds what a Client reads, in bytes: a status of thousands of
// servers fits many times over.
const maxAnswer = 64 << 20

// Client asks a node's console. It is safe for concurrent use. The errors that
// its methods return wrap ErrInvalid, ErrUnauthorized, ErrForbidden, ErrNotFound
// or ErrUnavailable when the node said so.
type Client struct {
	base  string // scheme://host:port
	err   error  // of the address given to NewClient
	token string
	http  *http.Client
}

// NewClient asks the console at addr, "127.0.0.1:8053" or a URL such as
// "https://ns1.example.net", with the token if it isn't empty. A bad address
// shows at the first use. Proxies of the environment aren't used.
func NewClient(addr, token string) *Client {
	base, err := baseURL(addr)
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		TLSHandshakeTimeout:   3 * time.Second,
		ResponseHeaderTimeout: 15 * time.Second,
		MaxIdleConns:          2,
		IdleConnTimeout:       10 * time.Second,
	}
	return &Client{base: base, err: err, token: token, http: &http.Client{
		Transport: transport,
		Timeout:   20 * time.Second,
		// A redirect could carry the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// baseURL makes a URL of host:port, or checks the one that is given.
func baseURL(addr string) (string, error) {
	bad := func() (string, error) {
		return "", fmt.Errorf("API address %q: must be host:port such as %q, or a URL", addr, DefaultListen)
	}
	if !strings.Contains(addr, "://") {
		host, port, err := net.SplitHostPort(addr)
		if err != nil || port == "" {
			return bad()
		}
		switch host {
		case "", "0.0.0.0": // listens everywhere, so here too
			host = "127.0.0.1"
		case "::":
			host = "::1"
		}
		addr = "http://" + net.JoinHostPort(host, port)
	}
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		return bad()
	}
	return u.Scheme + "://" + u.Host, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status is what the node sees now.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.do(ctx, http.MethodGet, "/api/v1/status", nil, &s)
	return s, err
}

// Zones is what the node serves.
func (c *Client) Zones(ctx context.Context) (ZoneList, error) {
	var z ZoneList
	err := c.do(ctx, http.MethodGet, "/api/v1/zones", nil, &z)
	return z, err
}

// Explain asks what the node would answer and why. An empty client is the asker
// itself, an empty qtype is A.
func (c *Client) Explain(ctx context.Context, name, client, qtype string) (*Explanation, error) {
	q := url.Values{"name": {name}}
	if client != "" {
		q.Set("client", client)
	}
	if qtype != "" {
		q.Set("type", qtype)
	}
	var e Explanation
	if err := c.do(ctx, http.MethodGet, "/api/v1/explain?"+q.Encode(), nil, &e); err != nil {
		return nil, err
	}
	return &e, nil
}

// SetOverride orders o for the whole fleet and returns it as it was written. An
// empty Who becomes this machine's address; Since is the node's to say.
func (c *Client) SetOverride(ctx context.Context, o health.Override) (health.Override, error) {
	var done health.Override
	err := c.do(ctx, http.MethodPost, "/api/v1/override", o, &done)
	return done, err
}

// ClearOverride takes the site's override back, and tells whether there was one.
func (c *Client) ClearOverride(ctx context.Context, site string, by history.Order) (bool, error) {
	q := url.Values{"who": {by.Who}, "why": {by.Why}}
	var done cleared
	err := c.do(ctx, http.MethodDelete, "/api/v1/override/"+url.PathEscape(site)+"?"+q.Encode(), nil, &done)
	return done.Cleared, err
}

// Drained is how far a site is that is to get no new users; a quiet of 0 is that of
// the configuration.
func (c *Client) Drained(ctx context.Context, site string, quiet time.Duration) (health.DrainProgress, error) {
	path := "/api/v1/drain/" + url.PathEscape(site)
	if quiet > 0 {
		path += "?quiet=" + quiet.String()
	}
	var p health.DrainProgress
	err := c.do(ctx, http.MethodGet, path, nil, &p)
	return p, err
}

// SetRelease says which content generation users are to see, and returns it as it
// was written.
func (c *Client) SetRelease(ctx context.Context, r health.Release) (health.Release, error) {
	var done health.Release
	err := c.do(ctx, http.MethodPost, "/api/v1/release", r, &done)
	return done, err
}

// ClearRelease takes a release back; without one it does nothing.
func (c *Client) ClearRelease(ctx context.Context, name string, by history.Order) error {
	q := url.Values{"who": {by.Who}, "why": {by.Why}}
	return c.do(ctx, http.MethodDelete, "/api/v1/release/"+url.PathEscape(name)+"?"+q.Encode(), nil, nil)
}

// Allow lets through what the fleet's breakers hold back.
func (c *Client) Allow(ctx context.Context, by history.Order) error {
	return c.do(ctx, http.MethodPost, "/api/v1/breaker/allow", by, nil)
}

// Drop has the fleet's nodes forget the changes that their breakers hold back.
func (c *Client) Drop(ctx context.Context, by history.Order) error {
	return c.do(ctx, http.MethodPost, "/api/v1/breaker/drop", by, nil)
}

// Topology is what the fleet is to serve, as the node knows it.
func (c *Client) Topology(ctx context.Context) (Topology, error) {
	var t Topology
	err := c.do(ctx, http.MethodGet, "/api/v1/topology", nil, &t)
	return t, err
}

// OrderTopology changes what the fleet serves. It may take minutes where a
// topology has much to compile.
func (c *Client) OrderTopology(ctx context.Context, o TopologyOrder) (TopologyResult, error) {
	var r TopologyResult
	err := c.patiently(orderTimeout, func(p *Client) error { return p.do(ctx, http.MethodPost, "/api/v1/topology", o, &r) })
	return r, err
}

// patiently calls f with a client that waits for so long for an answer.
func (c *Client) patiently(wait time.Duration, f func(*Client) error) error {
	patient := *c
	transport := c.http.Transport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = wait
	patient.http = &http.Client{Transport: transport, Timeout: wait, CheckRedirect: c.http.CheckRedirect}
	defer patient.Close()
	return f(&patient)
}

// Revisions gives the newest revisions, the newest first; limit 0: all.
func (c *Client) Revisions(ctx context.Context, limit int) ([]history.Revision, error) {
	path := "/api/v1/topology/revisions"
	if limit > 0 {
		path += "?limit=" + strconv.Itoa(limit)
	}
	var all []history.Revision
	err := c.do(ctx, http.MethodGet, path, nil, &all)
	return all, err
}

// Content reads a revision with its files.
func (c *Client) Content(ctx context.Context, number int64) (Content, error) {
	var out Content
	err := c.do(ctx, http.MethodGet, "/api/v1/topology/revisions/"+strconv.FormatInt(number, 10), nil, &out)
	return out, err
}

// Events gives the time line, the newest first.
func (c *Client) Events(ctx context.Context, f history.Filter) ([]history.Event, error) {
	q := url.Values{}
	for k, v := range map[string]string{"site": f.Site, "kind": f.Kind} {
		if v != "" {
			q.Set(k, v)
		}
	}
	if !f.Since.IsZero() {
		q.Set("since", f.Since.UTC().Format(time.RFC3339))
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	var all []history.Event
	err := c.do(ctx, http.MethodGet, "/api/v1/events?"+q.Encode(), nil, &all)
	return all, err
}

// Ready is nil when the node answers queries.
func (c *Client) Ready(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/readyz", nil, nil)
}

// FrontendReady is nil while a virtual address may lead to the node for the frontend.
func (c *Client) FrontendReady(ctx context.Context, frontend string) error {
	return c.do(ctx, http.MethodGet, "/readyz/"+url.PathEscape(frontend), nil, nil)
}

// do sends a request with in as its JSON body, unless it is nil, and decodes
// the answer into out, unless that is nil.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	if c.err != nil {
		return c.err
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return fmt.Errorf("API at %s: %w", c.base, err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	return c.read(resp, out)
}

// read decodes the answer, or the error in it.
func (c *Client) read(resp *http.Response, out any) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return c.unreachable(err)
	case len(b) > maxAnswer:
		return fmt.Errorf("API at %s: answer is longer than %d bytes", c.base, maxAnswer)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return c.refused(resp, b)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("API at %s: answer isn't what a gslb console sends: %w", c.base, err)
	}
	return nil
}

// unreachable says who could not be asked and what is likely.
func (c *Client) unreachable(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // its text has the whole URL again
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("API at %s: nothing listens there (connection refused): is \"gslb serve\" running, and is this the listen of its [api]?", c.base)
	}
	return fmt.Errorf("API at %s: %w", c.base, err)
}

// A RefusedError is a node's answer that isn't a success.
type RefusedError struct {
	Addr string // the API's URL
	Code int    // HTTP status
	Msg  string // what the node said
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s (HTTP %d from %s)", e.Msg, e.Code, e.Addr)
}

// Unwrap gives the sentinel of the status, or nil.
func (e *RefusedError) Unwrap() error {
	switch e.Code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return ErrInvalid
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusForbidden, http.StatusMisdirectedRequest:
		return ErrForbidden
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusConflict:
		return history.ErrConflict
	case http.StatusServiceUnavailable:
		return ErrUnavailable
	}
	return nil
}

func (c *Client) refused(resp *http.Response, body []byte) error {
	var e errorBody
	if json.Unmarshal(body, &e) != nil || e.Error == "" {
		e.Error = "answered " + resp.Status
	}
	return &RefusedError{Addr: c.base, Code: resp.StatusCode, Msg: e.Error}
}
