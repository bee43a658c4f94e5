package console

import (
	"context"
	"errors"
	"time"

	"gslb/forecast"
	"gslb/health"
	"gslb/history"
	"gslb/steer"
	"gslb/store"
)

// Backend is the running node as the console needs it. All methods are safe for
// concurrent use. Status, Explain and Ready answer from memory and don't block.
type Backend interface {
	// Status is a snapshot; the caller may not change what it points to.
	Status() Status
	// Explain decides for a client as the DNS server would, with its reasons.
	// name is fully qualified and in lower case, client the text of an IP
	// address, qtype a type's mnemonic in upper case ("A"). Its errors wrap
	// ErrNotFound for a name this node doesn't serve.
	Explain(name, client, qtype string) (*Explanation, error)
	// SetOverride writes an override for the whole fleet, in place of the
	// site's former one. It is validated, and Who and Since are filled.
	// Its errors wrap ErrNotFound for an unknown site; every other error is
	// taken as the store not being reachable.
	SetOverride(ctx context.Context, o health.Override) error
	// ClearOverride takes the site's override back, and tells whether there was one.
	ClearOverride(ctx context.Context, site string, by history.Order) (bool, error)
	// Drained is how far a site is that is to get no new users; a quiet of 0 is that of
	// the configuration. Its errors wrap ErrNotFound for an unknown site.
	Drained(site string, quiet time.Duration) (health.DrainProgress, error)
	// SetRelease says which content generation users are to see, and ClearRelease takes
	// that back. Errors are as those of SetOverride.
	SetRelease(ctx context.Context, r health.Release) error
	ClearRelease(ctx context.Context, name string, by history.Order) error
	// Allow lets through what the breakers of the fleet hold back. Its errors are taken as
	// the store not being reachable.
	Allow(ctx context.Context, by history.Order) error
	// Drop has the nodes forget the changes that they hold back. Errors are as those of Allow.
	Drop(ctx context.Context, by history.Order) error
	// Members lists the members of etcd and asks each how it is; RemoveMember takes one out
	// for good. Its errors wrap those of store.Store.RemoveMember; every other error is
	// taken as the store not being reachable.
	Members(ctx context.Context) ([]store.Member, error)
	RemoveMember(ctx context.Context, which string, by history.Order) (store.Member, error)
	// Reload reads the configuration and the zones again, or the files of these zones
	// alone. Its errors wrap ErrNotFound for a zone that has none, ErrInvalid for what is
	// no name, ErrUnavailable when ctx ends first; every other error is what is wrong in the files.
	Reload(ctx context.Context, zones []string) (Reloaded, error)
	// Push takes what an application reports of itself, at this node alone. Its
	// errors wrap ErrNotFound for a check or a target that this node does not have.
	Push(p Push) error
	// Topology is what the fleet is to serve, from memory.
	Topology() Topology
	// OrderTopology changes it, or tells in a dry run what would change. Its
	// errors wrap ErrInvalid for a topology that this node would not serve,
	// history.ErrConflict when another order came first, history.ErrNotFound for a
	// revision that is not there; every other error is taken as the store not being
	// reachable.
	OrderTopology(ctx context.Context, o TopologyOrder) (TopologyResult, error)
	// Revisions gives the newest ones, the newest first; limit 0: all.
	Revisions(ctx context.Context, limit int) ([]history.Revision, error)
	// Content reads a revision with its files.
	Content(ctx context.Context, number int64) (Content, error)
	// Differences tells, a line each, what is different in revision to against revision
	// from; 0 is nothing. Errors are as those of Content.
	Differences(ctx context.Context, from, to int64) ([]string, error)
	// Simulate tells where everyone would go, and SimulateEach does for each single site
	// that is down besides. The first of them after a change counts all users, which may take
	// seconds. Their errors wrap ErrNotFound for an unknown site, ErrInvalid where nothing is steered.
	Simulate(ctx context.Context, q SimulateQuery) (*forecast.Comparison, error)
	SimulateEach(ctx context.Context, q SimulateQuery) ([]OneDown, error)
	// Events gives the time line, the newest first.
	Events(ctx context.Context, f history.Filter) ([]history.Event, error)
	// Frontends is what this node's balancer does, Connections what goes through it; false:
	// it has none.
	Frontends() (FrontendList, bool)
	Connections(q ConnectionQuery) (ConnectionList, bool)
	// OrderServer changes what this node's balancer does with a server. Its errors are
	// those of balancer.Balancer's methods.
	OrderServer(o ServerOrder) error
	// FrontendReady is nil while a virtual address may lead here for the frontend
	// (balancer.Readiness). Its error wraps ErrNotFound for an unknown one.
	FrontendReady(frontend string) error
	// Ready is nil once this node answers queries, and stays nil when the
	// store is lost later: a node never leaves service because of that.
	Ready() error
}

// Errors that a Backend wraps to choose the HTTP status, and that a Client's
// errors wrap in turn.
var (
	ErrInvalid      = errors.New("invalid request")         // 400
	ErrUnauthorized = errors.New("token missing or wrong")  // 401
	ErrForbidden    = errors.New("not allowed")             // 403
	ErrNotFound     = errors.New("not found")               // 404
	ErrUnavailable  = errors.New("temporarily unavailable") // 503
)

// Explanation is one decision with its reasons.
type Explanation struct {
	Name   string `json:"name"`   // fully qualified
	Type   string `json:"type"`   // "A", "AAAA" …
	Client string `json:"client"` // the address decided for
	// Answer is the answer section in presentation format, one RR each. Empty: no data.
	Answer []string `json:"answer"`
	// Alias is the target of the name's ALIAS record, if the answer comes from there.
	Alias string `json:"alias,omitempty"`
	// Scope is the network the answer holds for, as ECS gives it back
	// ("203.0.112.0/20"); "" when the name doesn't depend on the client.
	Scope string `json:"scope"`
	// Trace is how the decision came about; nil for a name that isn't steered.
	Trace *steer.Trace `json:"trace,omitempty"`
	// Text is all of it for a terminal.
	Text string `json:"text"`
}
