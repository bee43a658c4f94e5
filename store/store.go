package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Store is a connection to the fleet's etcd, and the member in this process if
// there is one. It is safe for concurrent use.
type Store struct {
	cfg     Config
	lkgDir  string
	log     *slog.Logger
	dialer  *dialer
	member  *member // nil for an outside cluster
	timings timings

	cliMu  sync.Mutex
	cli    *clientv3.Client // guarded by cliMu; nil until it could be made
	closed bool             // guarded by cliMu

	mu     sync.Mutex
	status Status // guarded by mu
}

// Status is what an operator wants to know about the connection.
type Status struct {
	Embedded  bool      `json:"embedded"`
	Endpoints []string  `json:"endpoints"`
	Connected bool      `json:"connected"`            // the last exchange went well
	Since     time.Time `json:"since,omitzero"`       // when Connected last changed; zero before the first exchange
	Revision  int64     `json:"revision"`             // the newest revision heard of; 0: none
	LastError string    `json:"last_error,omitempty"` // the last fault, kept until the next success
	Ended     string    `json:"ended,omitempty"`      // why the member in this process has ended, if it has: it does not come back by itself
}

// timings are the delays of watches and sessions.
type timings struct {
	list   time.Duration // one attempt to list
	beat   time.Duration // between two heartbeats of a watch
	silent time.Duration // without an answer for so long, a watch is lost
	retry  time.Duration // the longest pause between attempts
	save   time.Duration // the shortest time between two last-known-good copies
	call   time.Duration // a call without a deadline
}

// A dead connection is noticed within silent + list, five seconds.
var production = timings{
	list: 2 * time.Second, beat: time.Second, silent: 3 * time.Second,
	retry: time.Second, save: time.Second, call: 5 * time.Second,
}

// impatient serves tests, which stop and start etcd on purpose.
var impatient = timings{
	list: time.Second, beat: 300 * time.Millisecond, silent: 3 * time.Second,
	retry: 200 * time.Millisecond, save: 50 * time.Millisecond, call: 30 * time.Second,
}

type options struct {
	noFsync, fastElection bool
	timings               timings
}

// Option changes how Open works. There are options for tests only.
type Option func(*options)

// ForTests makes the store quick and the embedded member unsafe: it does not
// sync its files, so that a power loss would lose data, and elects leaders in a
// fraction of a second; a lost etcd is noticed in two.
func ForTests() Option {
	return func(o *options) { o.noFsync, o.fastElection, o.timings = true, true, impatient }
}

// Open starts the embedded member, if cfg says so, and waits until it serves
// (a member of a cluster whose others are away: two seconds at most); or it
// prepares a client for an outside cluster, which need not be reachable. The
// directory dataDir is made when it is missing. Errors are for what an operator
// must mend: a bad configuration, a port that is taken, a directory that can't
// be written or is in use.
func Open(ctx context.Context, cfg Config, dataDir string, log *slog.Logger, opts ...Option) (*Store, error) {
	cfg = cfg.WithDefaults()
	var faults []error
	cfg.Validate(func(key, msg string) { faults = append(faults, fmt.Errorf("%q %s", key, msg)) })
	if len(faults) > 0 {
		return nil, fmt.Errorf("store: %w", errors.Join(faults...))
	}
	o := options{timings: production}
	for _, set := range opts {
		set(&o)
	}
	s := &Store{cfg: cfg, lkgDir: filepath.Join(dataDir, "last-known-good"), log: log, timings: o.timings}
	endpoint := ""
	var err error
	if cfg.Embedded {
		if s.member, err = startMember(ctx, cfg, dataDir, o, log); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		endpoint = s.member.endpoint
	}
	if s.dialer, err = newDialer(cfg, endpoint, log); err == nil && cfg.User == "" {
		_, err = s.client()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), s.Close())
	}
	s.status = Status{Embedded: cfg.Embedded, Endpoints: s.dialer.endpoints}
	return s, nil
}

// Prefix is what stands before every key in etcd, "/" at its end.
func (s *Store) Prefix() string { return s.cfg.Prefix }

// Status returns the state of the connection as the last exchanges showed it.
func (s *Store) Status() Status {
	s.mu.Lock()
	st := s.status
	s.mu.Unlock()
	if s.member != nil {
		if msg := s.member.failure(); msg != "" {
			st.LastError, st.Ended = msg, msg
		}
		if msg := s.member.waiting(); msg != "" {
			st.LastError = msg
		}
	}
	return st
}

// heard notes that an exchange went well at a revision.
func (s *Store) heard(revision int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.status.Connected {
		s.status.Connected, s.status.Since = true, time.Now()
	}
	s.status.LastError = ""
	s.status.Revision = max(s.status.Revision, revision)
}

// failed notes that an exchange went wrong.
func (s *Store) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.Connected || s.status.Since.IsZero() {
		s.status.Connected, s.status.Since = false, time.Now()
	}
	s.status.LastError = err.Error()
}

// Close ends the connection and then the embedded member. End the Watch and
// Session calls first.
func (s *Store) Close() error {
	s.cliMu.Lock()
	cli := s.cli
	again := s.closed
	s.cli, s.closed = nil, true
	s.cliMu.Unlock()
	if again {
		return nil
	}
	var errs []error
	if cli != nil {
		if err := cli.Close(); err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("store: close client: %w", err))
		}
	}
	if s.member != nil {
		errs = append(errs, s.member.close())
	}
	return errors.Join(errs...)
}
