package fleet

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gslb/geo"
	"gslb/health"
	"gslb/store"
)

// Problem is something in etcd that this node can't use, or that looks wrong.
type Problem struct {
	Key     string    `json:"key"` // relative to the store's prefix
	Message string    `json:"message"`
	Since   time.Time `json:"since"` // when this node saw it first
}

// Node is a member of the fleet as it announces itself.
type Node struct {
	Name     string    `json:"name"`
	Instance string    `json:"instance"` // random, of this process
	Roles    []string  `json:"roles"`
	Since    time.Time `json:"since"`             // when it started, by its own clock
	Version  string    `json:"version,omitempty"` // of the program
	// Console is the URL of its console, as others may reach it; "": it has none, or does not know.
	Console string `json:"console,omitempty"`
	// Place is where a checker says that it stands; nil: it does not say.
	Place *geo.Place `json:"place,omitempty"`
	// Addresses are those of a checker's interfaces, so that balancers know its probes
	// from users.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Revision  int64        `json:"revision"` // of the topology that it serves; 0: none, or of its own file
	// Blind is why a checker has taken its votes back; "": it has not.
	Blind string `json:"blind,omitempty"`
	// Follows: the node serves the topology in etcd. Wanted is the revision that it
	// is to serve, where that is another, and Problem why it does not.
	Follows bool   `json:"follows,omitempty"`
	Trial   int64  `json:"trial,omitempty"` // the revision that it tries on a share of the clients' networks; 0: none
	Wanted  int64  `json:"wanted,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// records is a view, read.
type records struct {
	said      map[string]*said // by site; what a reader knows, valid until it reads again
	answers   []health.Answered
	times     []health.Times // sorted by vantage point
	overrides []health.Override
	releases  []health.Release
	allow     *allowed  // the newest order about what is held; nil: none
	nodes     []Node    // sorted by name, then the newest first; of one name there may be several
	problems  []Problem // sorted by key; Since is not set
}

// said is what is said of one site, by key.
type said struct {
	votes   map[string]*health.Vote
	reports map[string]*health.Report
}

// votes are those on some sites, nil: on all, in no order.
func (r records) votes(of map[string]bool) (all []health.Vote) {
	r.each(of, func(s *said) {
		for _, v := range s.votes {
			all = append(all, *v)
		}
	})
	return all
}

// reports are those of some sites, nil: of all, in no order.
func (r records) reports(of map[string]bool) (all []health.Report) {
	r.each(of, func(s *said) {
		for _, v := range s.reports {
			all = append(all, *v)
		}
	})
	return all
}

func (r records) each(of map[string]bool, fn func(*said)) {
	if of == nil {
		for _, s := range r.said {
			fn(s)
		}
		return
	}
	for site := range of {
		if s := r.said[site]; s != nil {
			fn(s)
		}
	}
}

// reader turns views into records. It remembers what it read, since most values
// are the same in the next view: it looks at what changed alone. It is not safe for concurrent use.
type reader struct {
	said   map[string]*said
	faults map[string]Problem // by key
	others map[string]parsed  // what is neither of the two, by key
}

// parsed is one value and what it says: one of the pointers, or err.
type parsed struct {
	vote     *health.Vote
	report   *health.Report
	answers  *health.Answered
	times    *health.Times
	override *health.Override
	release  *health.Release
	allow    *allowed
	node     *Node
	err      error
}

// read reads a view of which some keys may be others than in the one before, nil: all.
// Nothing in the result may be changed.
func (r *reader) read(v store.View, changed map[string]bool) records {
	if changed == nil || r.said == nil {
		*r = reader{said: map[string]*said{}, faults: map[string]Problem{}, others: map[string]parsed{}}
		for key, raw := range v.KV {
			r.take(key, raw)
		}
	}
	for key := range changed {
		r.drop(key)
		if raw, ok := v.KV[key]; ok {
			r.take(key, raw)
		}
	}
	out := records{said: r.said}
	for _, p := range r.others {
		switch {
		case p.answers != nil:
			out.answers = append(out.answers, *p.answers)
		case p.times != nil:
			out.times = append(out.times, *p.times)
		case p.override != nil:
			out.overrides = append(out.overrides, *p.override)
		case p.release != nil:
			out.releases = append(out.releases, *p.release)
		case p.allow != nil:
			out.allow = p.allow
		case p.node != nil:
			out.nodes = append(out.nodes, *p.node)
		}
	}
	slices.SortFunc(out.times, func(a, b health.Times) int { return strings.Compare(a.Vantage, b.Vantage) })
	out.problems = slices.Collect(maps.Values(r.faults))
	slices.SortFunc(out.nodes, func(a, b Node) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), b.Since.Compare(a.Since), strings.Compare(a.Instance, b.Instance))
	})
	slices.SortFunc(out.problems, func(a, b Problem) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// take reads one value.
func (r *reader) take(key string, raw []byte) {
	switch p := parse(key, raw); {
	case p.err != nil:
		r.faults[key] = Problem{Key: key, Message: p.err.Error()}
	case p.vote != nil:
		r.of(p.vote.Site).votes[key] = p.vote
	case p.report != nil:
		r.of(p.report.Site).reports[key] = p.report
	default:
		r.others[key] = p
	}
}

// drop forgets one.
func (r *reader) drop(key string) {
	delete(r.faults, key)
	delete(r.others, key)
	if s := r.said[siteOf(key)]; s != nil {
		delete(s.votes, key)
		delete(s.reports, key)
	}
}

func (r *reader) of(site string) *said {
	s := r.said[site]
	if s == nil {
		s = &said{votes: map[string]*health.Vote{}, reports: map[string]*health.Report{}}
		r.said[site] = s
	}
	return s
}

// parse reads one value, which may be anything. Unknown fields are let through:
// a fleet is upgraded node by node.
func parse(key string, raw []byte) parsed {
	var p parsed
	kind, names, err := splitKey(key)
	if err == nil {
		switch kind {
		case kindVote:
			p.vote, err = into(raw, func(v *health.Vote) error { return agree(names, v.Site, v.Vantage) })
		case kindReport:
			p.report, err = into(raw, func(r *health.Report) error {
				if r.Healthy < 0 || r.Total < 0 || r.Load < 0 || r.Capacity < 0 {
					return fmt.Errorf("healthy %d, total %d, load %v, capacity %v: none may be negative", r.Healthy, r.Total, r.Load, r.Capacity)
				}
				return agree(names, r.Site, r.Node)
			})
		case kindAnswers:
			p.answers, err = into(raw, func(a *health.Answered) error { return agree(names, a.Site, a.Node) })
		case kindTimes:
			p.times, err = into(raw, func(t *health.Times) error { return cmp.Or(t.Fault(), agree(names, t.Vantage)) })
		case kindOverride:
			p.override, err = into(raw, func(o *health.Override) error {
				if !o.Kind.Known() {
					return fmt.Errorf("kind %q: must be drain, up, down or share", o.Kind)
				}
				return agree(names, o.Site)
			})
		case kindAllow:
			p.allow, err = into(raw, func(*allowed) error { return nil })
		case kindRelease:
			p.release, err = into(raw, func(r *health.Release) error {
				if r.Generation == "" {
					return fmt.Errorf(`generation "": must not be empty`)
				}
				return agree(names, r.Name)
			})
		case kindNode:
			p.node, err = into(raw, func(n *Node) error { return agree(names, n.Name, n.Instance) })
		}
	}
	if err != nil {
		return parsed{err: err}
	}
	return p
}

// into decodes raw and checks it.
func into[T any](raw []byte, check func(*T) error) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(raw, v); err != nil {
		return nil, fmt.Errorf("not a valid value: %w", err)
	}
	if err := check(v); err != nil {
		return nil, err
	}
	return v, nil
}

// agree checks that a value speaks of what its key says.
func agree(key []string, value ...string) error {
	for i := range key {
		if key[i] != value[i] {
			return fmt.Errorf("the value speaks of %q, the key of %q", value[i], key[i])
		}
	}
	return nil
}
