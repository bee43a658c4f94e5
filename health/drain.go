package health

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// DrainConfig is [drain]: when a site that gets no new users is empty.
type DrainConfig struct {
	// Quiet is how long no new connection may have come to it.
	Quiet time.Duration `toml:"quiet"`
	// Long is the age from which on an open connection does not keep it: those are
	// listed, and cut when it is switched off.
	Long time.Duration `toml:"long"`
	// Ignore are the networks of clients that are nobody's users, such as a
	// monitoring system. The addresses of the fleet's checkers are known.
	Ignore []netip.Prefix `toml:"ignore"`
}

// The defaults of DrainConfig.
const (
	DefaultQuiet = time.Minute
	DefaultLong  = 10 * time.Minute
	maxQuiet     = 24 * time.Hour
)

// WithDefaults returns c with the defaults in place of zero values.
func (c DrainConfig) WithDefaults() DrainConfig {
	if c.Quiet == 0 {
		c.Quiet = DefaultQuiet
	}
	if c.Long == 0 {
		c.Long = DefaultLong
	}
	return c
}

// Validate calls bad for each fault of c, with its key.
func (c DrainConfig) Validate(bad func(key, msg string)) {
	d := c.WithDefaults()
	if d.Quiet < time.Second || d.Quiet > maxQuiet {
		bad("quiet", fmt.Sprintf("%v: must be 1s to 24h", d.Quiet))
	}
	if d.Long < time.Second {
		bad("long", fmt.Sprintf("%v: must be 1s at least", d.Long))
	}
	for _, p := range c.Ignore {
		if p != p.Masked() {
			bad("ignore", fmt.Sprintf("%s: has bits set past its length: must be %s", p, p.Masked()))
		}
	}
}

// Answered is what one DNS node says of a site that gets no new users: whether
// answers that named it can still be in a cache.
type Answered struct {
	Site  string `json:"site"`
	Node  string `json:"node"`
	Phase string `json:"phase"` // one of the constants
	// Expires is when the last answer that named it is in no cache that heeds its
	// TTL, by the node's clock, for people; the phase changes by itself then.
	Expires time.Time `json:"expires,omitzero"`
	// Wait is how long that was from when it was written.
	Wait time.Duration `json:"wait_ns,omitempty"`
	// Since is the answers that it has given since the site was to get none.
	Since uint64 `json:"answers,omitempty"`
}

// The phases of Answered.
const (
	AnswersGiven  = "given"  // it has just been given: nothing else was left, or it is yet to be heard of
	AnswersCached = "cached" // it is given no more, caches may have it
	AnswersGone   = "gone"   // no cache that heeds TTLs has it
)

// Leaving tells whether an order, or a window of maintenance, keeps new users away
// from the site altogether.
func (s Status) Leaving() bool {
	return s.Draining || s.Override != nil && s.Override.Kind == ForceDown
}

// DrainProgress is how far a site is that gets no new users.
type DrainProgress struct {
	Site string `json:"site"`
	// Safe: it can be switched off. Prediction: by what DNS knows alone, since no
	// balancer of the site reports.
	Safe       bool `json:"safe"`
	Prediction bool `json:"prediction,omitempty"`
	// Draining is false where nothing keeps new users away; then nothing else is filled.
	Draining bool   `json:"draining"`
	Text     string `json:"text"` // the state of it in a sentence

	Given    []string  `json:"given,omitempty"`     // DNS nodes that still give it to users
	NotHeard []string  `json:"not_heard,omitempty"` // live DNS nodes that have not said
	Expires  time.Time `json:"expires,omitzero"`    // when no cache that heeds TTLs has it; zero: it is so already, or not known
	Gone     bool      `json:"gone"`                // no cache that heeds TTLs has it

	Balancers []string `json:"balancers,omitempty"` // that report
	Waiting   []string `json:"waiting,omitempty"`   // of these, those that have not yet said who comes
	Clients   *Clients `json:"clients,omitempty"`   // of all balancers
	// Overstay tells that connections still come though no cache that heeds TTLs has
	// the site: some resolver or client keeps answers for longer.
	Overstay bool `json:"overstay,omitempty"`
	// Empty is when it is expected to be safe; zero: that cannot be told.
	Empty time.Time `json:"empty,omitzero"`
	// Quiet is how long none may have come.
	Quiet time.Duration `json:"need_quiet_ns"`
}

// Drained judges how far a site is. answers are those of its DNS nodes, of which dns
// are the ones that live. It is pure. The first row that holds says what it waits for:
//
//	a live DNS node has not said, or gives it still        -> DNS
//	an answer that named it may be in a cache              -> caches
//	no balancer reports                                    -> nothing: safe, as a prediction
//	a balancer that reports has not said who comes         -> that
//	a new connection came less than Quiet ago              -> that none comes
//	an open connection is younger than Long                -> these
//	else                                                   -> nothing: safe
func Drained(st Status, answers []Answered, dns []string, cfg DrainConfig, now time.Time) DrainProgress {
	cfg = cfg.WithDefaults()
	p := DrainProgress{Site: st.Site, Draining: st.Leaving(), Quiet: cfg.Quiet}
	if !p.Draining {
		p.Text = "it is not draining"
		return p
	}
	p.heard(answers, dns)
	for _, r := range st.Reports {
		p.Balancers = append(p.Balancers, r.Node)
		switch {
		case r.Clients == nil:
			p.Waiting = append(p.Waiting, r.Node)
		case p.Clients == nil:
			c := *r.Clients
			p.Clients = &c
		default:
			p.Clients.join(r.Clients)
		}
	}
	p.Prediction = len(p.Balancers) == 0
	p.judge(cfg, now)
	return p
}

// heard takes what the DNS nodes say.
func (p *DrainProgress) heard(answers []Answered, dns []string) {
	p.Gone = true
	said := map[string]bool{}
	for _, a := range answers {
		if a.Site != p.Site || !slices.Contains(dns, a.Node) {
			continue // of a node that is gone: what it gave, the others' TTLs have outlasted, or an operator knows
		}
		said[a.Node] = true
		if a.Phase == AnswersGiven {
			p.Given = append(p.Given, a.Node)
		}
		if a.Phase != AnswersGone {
			p.Gone = false
			if a.Expires.After(p.Expires) {
				p.Expires = a.Expires
			}
		}
	}
	for _, name := range dns {
		if !said[name] {
			p.NotHeard, p.Gone = append(p.NotHeard, name), false
		}
	}
	if len(dns) == 0 {
		p.Gone = false
	}
	slices.Sort(p.Given)
}

func (p *DrainProgress) judge(cfg DrainConfig, now time.Time) {
	c := p.Clients
	if c != nil {
		p.predict(cfg, now)
	} else if p.Prediction && !p.Gone && len(p.Given)+len(p.NotHeard) == 0 {
		p.Empty = p.Expires
	}
	switch {
	case len(p.NotHeard) > 0:
		p.Text = "waiting to hear from the DNS nodes " + strings.Join(p.NotHeard, ", ")
	case len(p.Given) > 0:
		p.Text = fmt.Sprintf("DNS still gives it to users (%s): nothing else is in service for some of them", strings.Join(p.Given, ", "))
	case !p.Gone && p.Expires.IsZero():
		p.Text = "no DNS node says whether answers that name it are in caches"
	case !p.Gone:
		p.Text = "no new answers; the last one that names it is in caches for another " + upTo(p.Expires.Sub(now))
	case p.Prediction:
		p.Safe = true
		p.Text = "no cache that heeds TTLs has it. No balancer of it reports, so who still connects is not known: this is a prediction"
	case len(p.Waiting) > 0:
		p.Text = "waiting for the balancers on " + strings.Join(p.Waiting, ", ") + " to say who still comes"
	case c.Quiet < cfg.Quiet && p.Overstay:
		p.Text = "no cache that heeds TTLs has it, but new connections still come: the last one " + ago(c.Quiet)
	case c.Quiet < cfg.Quiet:
		p.Text = fmt.Sprintf("no new connection for %s, %s needed", short(c.Quiet), short(cfg.Quiet))
	case c.Open > c.Long:
		p.Text = fmt.Sprintf("no new connections; %s open for less than %s", plural(int(c.Open-c.Long), "connection is", "connections are"), short(cfg.Long))
	case c.Open > 0:
		p.Safe = true
		p.Text = fmt.Sprintf("safe to power off: no new connection for %s. Cut would be %s, open for %s and longer", short(c.Quiet), plural(int(c.Open), "connection", "connections"), short(cfg.Long))
	default:
		p.Safe = true
		p.Text = fmt.Sprintf("safe to power off: no new connection for %s, and none is open", short(c.Quiet))
	}
	if p.Safe {
		p.Empty = time.Time{}
	}
}

// predict tells when it is likely to be empty: once the last answer has expired or, of
// those who come all the same, once less than one is to be expected; and quiet after
// that. Before answers have expired nothing can be told of those who come later.
func (p *DrainProgress) predict(cfg DrainConfig, now time.Time) {
	c := p.Clients
	p.Overstay = p.Gone && c.New > 0 && c.Quiet < min(cfg.Quiet, DefaultQuiet)
	if len(p.Given)+len(p.NotHeard)+len(p.Waiting) > 0 {
		return
	}
	last := now.Add(-c.Quiet)
	switch t, known := calm(c.Steps); {
	case !p.Gone:
		last = p.Expires
		if known && now.Add(t).After(last) {
			last = now.Add(t)
		}
	case c.Quiet >= cfg.Quiet:
	case known && now.Add(t).After(last):
		last = now.Add(t)
	case !known && c.New > 0 && c.Quiet < ClientStep:
		return // they come, and do not become fewer
	}
	p.Empty = last.Add(cfg.Quiet)
	if c.Open == c.Long {
		return
	}
	// The youngest of those that keep it is no older than how long none has come.
	if long := now.Add(max(cfg.Long-c.Quiet, 0)); long.After(p.Empty) {
		p.Empty = long // at the latest, as far as these go
	}
}

func upTo(d time.Duration) string { return short(max(d, 0) + time.Second - 1) }

func ago(d time.Duration) string { return short(d) + " ago" }

// short is d in whole seconds.
func short(d time.Duration) string {
	text := d.Truncate(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
