package balancer

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"gslb/health/probe"
)

// HookConfig is whom a frontend asks for help: a program, or a URL that takes a POST.
type HookConfig struct {
	Exec   []string `toml:"exec"`   // a program and its arguments, without a shell; needs allow_exec of the node
	URL    string   `toml:"url"`    // http or https
	Secret string   `toml:"secret"` // signs the body of a POST: header X-Gslb-Signature, sha256=HMAC in hex
	// Hold is how long it must be needed first (default 30s), Every the least time
	// between two calls for the same thing (default 5m), Timeout the time of each try
	// (default 10s), Retries how often a failed one is tried again (default 2; -1: not).
	Hold    time.Duration `toml:"hold"`
	Every   time.Duration `toml:"every"`
	Timeout time.Duration `toml:"timeout"`
	Retries int           `toml:"retries"`
}

func (h *HookConfig) set() bool { return len(h.Exec) > 0 || h.URL != "" }

func (h *HookConfig) withDefaults() {
	if !h.set() {
		return
	}
	setDefault(&h.Hold, 30*time.Second)
	setDefault(&h.Every, 5*time.Minute)
	setDefault(&h.Timeout, 10*time.Second)
	setDefault(&h.Retries, 2)
}

// The kinds of hooks.
const (
	HookClone  = "clone"  // the healthy capacity is low: another server is wanted
	HookRepair = "repair" // a server is isolated, and not taken out on purpose
)

// HookCall is what a hook is told, in JSON: on the standard input of a program, or as the body of a POST.
type HookCall struct {
	ID       string    `json:"id"`   // the same for all tries of one call
	Hook     string    `json:"hook"` // clone or repair
	At       time.Time `json:"at"`
	Node     string    `json:"node"`
	Site     string    `json:"site"`
	Frontend string    `json:"frontend"`
	Server   string    `json:"server,omitempty"` // to be repaired
	Why      string    `json:"why"`
	Since    time.Time `json:"since"`    // since when it is needed
	Healthy  int       `json:"healthy"`  // servers and spares in service
	Servers  int       `json:"servers"`  // that are configured, spares not counted
	Drained  int       `json:"drained"`  // of these, that are taken out on purpose
	Capacity float64   `json:"capacity"` // share of what the others are to have that is healthy
	Try      int       `json:"try"`      // from 1
}

// HookStatus is what became of a hook.
type HookStatus struct {
	Frontend string    `json:"frontend"`
	Hook     string    `json:"hook"`
	Server   string    `json:"server,omitempty"`
	Needed   time.Time `json:"needed,omitzero"` // since when; zero: not now
	Asked    time.Time `json:"asked,omitzero"`  // the last call
	Running  bool      `json:"running,omitempty"`
	Failed   bool      `json:"failed,omitempty"` // the last call
	Outcome  string    `json:"outcome,omitempty"`
	Calls    int64     `json:"calls"`
}

// hookState is one hook of a pool: for a clone, or for the repair of one server. Guarded by pool.mu.
type hookState struct {
	HookStatus
	seen bool // the state was looked at in this round
}

// dueHooks brings the pool's hooks in line with what is needed at now, and returns
// the calls that are to be made. Each is reported to hooked when it has ended.
func (p *pool) dueHooks(now time.Time) (calls []HookCall) {
	p.mu.Lock()
	defer p.mu.Unlock()
	share, healthy, drained := p.healthyShare()
	need := func(kind, server, why string, c *HookConfig) {
		key := kind + " " + server
		h := p.hooks[key]
		if h == nil {
			h = &hookState{HookStatus: HookStatus{Frontend: p.frontend, Hook: kind, Server: server}}
			p.hooks[key] = h
		}
		h.seen = true
		if h.Needed.IsZero() {
			h.Needed = now
		}
		if h.Running || now.Sub(h.Needed) < c.Hold || !h.Asked.IsZero() && now.Sub(h.Asked) < c.Every {
			return
		}
		h.Running, h.Asked = true, now
		h.Calls++
		calls = append(calls, HookCall{Hook: kind, At: now.UTC(), Site: p.cfg.Site, Frontend: p.frontend, Server: server, Why: why,
			Since: h.Needed.UTC(), Healthy: healthy, Servers: len(p.cfg.Servers), Drained: drained, Capacity: share})
	}
	if c := &p.cfg.Clone; c.set() && share < p.cfg.LowWatermark-1e-9 {
		without := ""
		if drained > 0 {
			without = fmt.Sprintf(", without the %d drained,", drained)
		}
		need(HookClone, "", fmt.Sprintf("%.0f %% of the configured capacity%s is healthy, less than %.0f %%", 100*share, without, 100*p.cfg.LowWatermark), c)
	}
	if c := &p.cfg.Repair; c.set() {
		for _, s := range p.servers {
			if s.isolation.has(causeCheck|causePassive) && !s.onPurpose() {
				need(HookRepair, s.address, s.isolation.why, c)
			}
		}
	}
	for key, h := range p.hooks {
		if !h.seen {
			h.Needed = time.Time{}
			if now.Sub(h.Asked) > time.Hour && !h.Running {
				delete(p.hooks, key)
			}
		}
		h.seen = false
	}
	return calls
}

// onPurpose tells whether somebody has taken s out: by an order here, or by the word of its
// agent (drain, maint). An agent that says 0 % has a server that can take no more, which is
// nobody's purpose.
func (s *server) onPurpose() bool {
	return s.ordered || s.asked && s.wish.Share > 0
}

// healthyShare is how much of the configured servers' capacity (weight, where none is
// stated) is in service and available, spares and registered ones counted, and how many
// those are. Configured servers that are out on purpose are drained: what they would have is
// not missed, or each piece of maintenance would call for a clone.
func (p *pool) healthyShare() (share float64, healthy, drained int) {
	size := func(s *ServerConfig) float64 {
		if s.Capacity > 0 {
			return s.Capacity
		}
		return s.Weight
	}
	var all, well float64
	for _, s := range p.servers {
		switch configured := s.role == roleServer && !s.Registered; {
		case configured && s.onPurpose():
			drained++
		case configured:
			all += size(&s.ServerConfig)
		}
		if s.inService && s.available() {
			well += size(&s.ServerConfig)
			healthy++
		}
	}
	if all == 0 { // the whole frontend is taken out
		return 1, healthy, drained
	}
	return well / all, healthy, drained
}

// hooked takes in how a call has ended.
func (p *pool) hooked(c *HookCall, outcome string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.hooks[c.Hook+" "+c.Server]; h != nil {
		h.Running, h.Failed, h.Outcome = false, err != nil, outcome
	}
	what := EventHook
	if err != nil {
		what = EventHookFailed
	}
	p.journal.add(Event{At: p.now(), Frontend: p.frontend, Server: c.Server, What: what, Why: fmt.Sprintf("%s, asked because %s: %s", c.Hook, c.Why, outcome)})
}

func (p *pool) hookStatus() (all []HookStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.hooks {
		all = append(all, h.HookStatus)
	}
	return all
}

// callHooks makes the calls that are due; each ends by itself, at the latest when ctx does.
func (b *Balancer) callHooks(ctx context.Context, f *frontend, now time.Time, run func(func())) {
	for _, call := range f.pool.dueHooks(now) {
		cfg := f.config().Clone
		if call.Hook == HookRepair {
			cfg = f.config().Repair
		}
		call.Node, call.ID = b.opts.Node, fmt.Sprintf("%s-%s-%d-%x", b.opts.Node, call.Hook, now.UnixMilli(), b.opts.Random()&0xffffff)
		run(func() {
			outcome, err := cfg.call(ctx, &call, b.opts.AllowExec)
			f.pool.hooked(&call, outcome, err)
		})
	}
}

// call makes a call, with its retries, and tells in words what came of it.
func (h *HookConfig) call(ctx context.Context, c *HookCall, mayExec bool) (outcome string, err error) {
	pause := 500 * time.Millisecond
	for c.Try = 1; ; c.Try++ {
		var said string
		if len(h.Exec) > 0 {
			said, err = h.exec(ctx, c, mayExec)
		} else {
			said, err = h.post(ctx, c)
		}
		switch {
		case err == nil && said == "":
			return "done", nil
		case err == nil:
			return said, nil
		case c.Try > max(0, h.Retries) || ctx.Err() != nil:
			return fmt.Sprintf("failed, tried %d times: %v", c.Try, err), err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause *= 2
	}
}

func (h *HookConfig) exec(ctx context.Context, c *HookCall, may bool) (string, error) {
	if !may {
		return "", fmt.Errorf("programs may not be run on this node: set allow_exec = true in [node] and start it again")
	}
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	p := probe.Program{Argv: h.Exec, Input: body, Timeout: h.Timeout, Env: []string{
		"GSLB_HOOK=" + c.Hook, "GSLB_ID=" + c.ID, "GSLB_SITE=" + c.Site, "GSLB_FRONTEND=" + c.Frontend, "GSLB_SERVER=" + c.Server}}
	return p.Run(ctx)
}

// SignatureHeader has what signs the body of a hook's POST.
const SignatureHeader = "X-Gslb-Signature"

// Signature is what SignatureHeader has for a body (RFC 2104).
func Signature(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func (h *HookConfig) post(ctx context.Context, c *HookCall) (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "gslb")
	if h.Secret != "" {
		req.Header.Set(SignatureHeader, Signature(h.Secret, body))
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	text := strings.TrimSpace(resp.Status + " " + strings.Join(strings.Fields(strings.ToValidUTF8(string(said), "")), " "))
	if resp.StatusCode/100 != 2 {
		return "", fmt.Errorf("%s answered %s", req.URL.Host, text)
	}
	return text, nil
}

func (c Config) validateHooks(bad func(key, msg string)) {
	for _, k := range []struct {
		key string
		HookConfig
	}{{"clone", c.Clone}, {"repair", c.Repair}} {
		switch u, err := url.Parse(k.URL); {
		case len(k.Exec) > 0 && k.URL != "":
			bad(k.key, "has exec and url: must have one of them")
		case !k.set() && (k.Secret != "" || k.Hold != 0 || k.Every != 0 || k.Timeout != 0 || k.Retries != 0):
			bad(k.key, "must have exec, a program and its arguments, or url")
		case len(k.Exec) > 0 && !filepath.IsAbs(k.Exec[0]):
			bad(k.key+".exec", fmt.Sprintf("%q: must be the absolute path of a program", k.Exec[0]))
		case k.URL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https"):
			bad(k.key+".url", fmt.Sprintf("%q: must be a URL such as https://clones.example.net/new", k.URL))
		}
		if k.Secret != "" && k.URL == "" {
			bad(k.key+".secret", "signs what is sent to url, which is not set")
		}
		for _, t := range []struct {
			key   string
			value time.Duration
		}{{"hold", k.Hold}, {"every", k.Every}, {"timeout", k.Timeout}} {
			if t.value != 0 && t.value < minTimeout {
				bad(k.key+"."+t.key, fmt.Sprintf("%v: must be at least %v", t.value, minTimeout))
			}
		}
		if k.Retries < -1 || k.Retries > 10 {
			bad(k.key+".retries", fmt.Sprintf("%d: must be 1 to 10, or -1 (none)", k.Retries))
		}
	}
	if !(c.LowWatermark >= 0 && c.LowWatermark <= 1) {
		bad("low_watermark", fmt.Sprintf("%v: must be a share of the configured capacity, above 0 to 1", c.LowWatermark))
	}
}

// Execs tells whether a hook of the frontend runs a program.
func (c Config) Execs() bool { return len(c.Clone.Exec) > 0 || len(c.Repair.Exec) > 0 }

// Hooks returns what became of all frontends' hooks, in the order of the configuration.
func (b *Balancer) Hooks() (all []HookStatus) {
	for _, f := range b.frontends() {
		all = append(all, f.pool.hookStatus()...)
	}
	return all
}
