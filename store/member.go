package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
)

const (
	// readyAlone bounds the wait for a cluster of one, which needs nobody else.
	readyAlone = 30 * time.Second
	// readyCluster bounds the wait for a cluster: its other members may be down,
	// and this node must come up and answer without them.
	readyCluster = 2 * time.Second
	// closeMember bounds a stop: a member that met a fatal error may never finish.
	closeMember = 10 * time.Second
	// portTries is how often a free port is looked for when "listen" has port 0,
	// since another process may take it between the look and the use.
	portTries = 5
	// backendBatch is for how long changes are gathered before they go from the log,
	// which alone makes them last, into the database file. That costs two syncs of the
	// disk and as many wake-ups as all else of a change, which etcd's own 100 ms would
	// make for each of ten changes a second; what is not there yet after a crash is
	// read from the log.
	backendBatch = time.Second
	// quotaBytes is a hundred times what a large fleet needs.
	quotaBytes = 256 << 20
)

// member is an etcd member in this process, and the lock on its directory.
type member struct {
	cfg      Config // the port of Listen is not 0
	dir      string
	opts     options
	log      *slog.Logger
	endpoint string // where this process reaches it
	lock     *fileutil.LockedFile

	living  context.Context // until close
	ended   context.CancelFunc
	errands sync.WaitGroup // what goes on in the background

	mu    sync.Mutex
	etcd  *embed.Etcd    // guarded by mu; nil until it has joined its cluster
	fatal *fatalNote     // guarded by mu; nil before the first attempt
	waits string         // guarded by mu; why it has not joined
	over  string         // why it cannot be started; not changed after startMember
	grpc  []*grpc.Server // guarded by mu; to cut clients off at once on close
}

// startMember starts the member, and waits until it serves or, in a cluster,
// for readyCluster at most.
func startMember(ctx context.Context, cfg Config, dataDir string, opts options, log *slog.Logger) (*member, error) {
	dir := filepath.Join(dataDir, "etcd")
	lock, err := claimDir(dir)
	if err != nil {
		return nil, err
	}
	if !onLoopback(cfg.Listen) && cfg.Cert == "" {
		log.Warn("embedded etcd serves other machines without TLS: whoever reaches it can steer the fleet", "listen", cfg.Listen)
	}
	for try := 1; ; try++ {
		m := &member{cfg: cfg, dir: dir, opts: opts, log: log, lock: lock}
		m.living, m.ended = context.WithCancel(context.Background())
		if err = tryDatabase(dir); errors.Is(err, errDamaged) {
			err = m.broken(err)
		}
		if err == nil {
			err = m.start(ctx, readyCluster)
		}
		switch {
		case err == nil:
			m.errands.Go(m.tellAddress)
			return m, nil
		case errors.As(err, new(notJoined)):
			log.Error("embedded etcd: going on without it, and trying again", "error", err)
			m.await(err)
			return m, nil
		case errors.As(err, new(broken)):
			log.Error("embedded etcd: going on without it", "error", err)
			m.over = err.Error()
			if m.endpoint != "" {
				return m, nil
			}
			if _, err = m.config(); err == nil { // which finds the endpoint
				return m, nil
			}
		case errors.Is(err, syscall.EADDRINUSE) && anyPort(cfg.Listen) && try < portTries:
			m.ended()
			continue
		}
		m.ended()
		lock.Close()
		return nil, fmt.Errorf("embedded etcd: %w", err)
	}
}

// broken is why a member of a cluster cannot be started with the data that it has.
type broken struct{ error }

func (m *member) broken(err error) error {
	if m.cfg.Cluster == "" {
		return err
	}
	return broken{fmt.Errorf("%w. Without its data, in %s, it would be put into its cluster anew", err, m.dir)}
}

// await tries to join the cluster until it has, in the background.
func (m *member) await(why error) {
	m.note(why)
	m.errands.Go(func() {
		for ctx := m.living; ; {
			sleep(ctx, rejoinRest*m.opts.timings.retry)
			if ctx.Err() != nil {
				return
			}
			err := m.start(ctx, reordered)
			m.note(err)
			switch {
			case err == nil:
				m.log.Info("embedded etcd has joined its cluster", "name", m.cfg.Name)
				return
			case !errors.As(err, new(notJoined)) && ctx.Err() == nil:
				m.log.Error("embedded etcd", "error", err)
			}
		}
	})
}

func (m *member) note(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waits = ""
	if err != nil {
		m.waits = "embedded etcd: " + err.Error()
	}
}

// start makes one attempt; others may take patience to do what it needs of them. StartEtcd runs in a goroutine of its own because
// what etcd calls fatal ends the goroutine that meets it (see zapCore).
func (m *member) start(ctx context.Context, patience time.Duration) error {
	ec, err := m.config()
	if err != nil {
		return err
	}
	if err := m.rejoin(ctx, ec, patience); err != nil {
		return err
	}
	var etcd *embed.Etcd
	done := make(chan error, 1)
	go func() {
		err := errors.New("stopped with a fatal error")
		defer func() { done <- err }()
		etcd, err = embed.StartEtcd(ec)
	}()
	if err := <-done; err != nil {
		if msg := m.fatal.get(); msg != "" {
			err = fmt.Errorf("%w: %s", err, msg)
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("%w: another program has the port; stop it or change \"listen\", which is %q, or \"peer_listen\", which is %q", err, m.cfg.Listen, m.cfg.PeerListen)
		}
		return m.broken(err)
	}
	m.mu.Lock()
	m.etcd = etcd
	m.mu.Unlock()
	return m.awaitReady(ctx)
}

func (m *member) awaitReady(ctx context.Context) error {
	limit := readyAlone
	if m.cfg.Cluster != "" {
		limit = readyCluster
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-m.etcd.Server.ReadyNotify():
		return nil
	case <-late.C:
		if m.cfg.Cluster != "" {
			m.log.Warn("embedded etcd waits for the other members of its cluster", "cluster", m.cfg.Cluster)
			return nil
		}
		m.abandon()
		return fmt.Errorf("not ready after %v", limit)
	case <-m.etcd.Server.StopNotify():
		m.abandon()
		return m.broken(errors.New("stopped while it started: " + m.fatal.get()))
	case <-ctx.Done():
		m.abandon()
		return ctx.Err()
	}
}

// abandon ends what start has begun.
func (m *member) abandon() {
	_ = m.stop()
	m.mu.Lock()
	m.etcd = nil
	m.mu.Unlock()
}

// config translates Config into etcd's own.
func (m *member) config() (*embed.Config, error) {
	cfg := m.cfg
	ec := embed.NewConfig()
	zl, note := newZap(m.log)
	m.mu.Lock()
	m.fatal = note
	m.mu.Unlock()
	ec.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zl)
	ec.Dir = m.dir
	ec.Name = cfg.Name
	ec.AutoCompactionMode = embed.CompactorModePeriodic
	ec.AutoCompactionRetention = "10m" // nothing here reads history; watches that lag list again
	ec.QuotaBackendBytes = quotaBytes
	ec.SnapshotCount = 10000
	ec.BackendBatchInterval = backendBatch
	ec.EnableGRPCGateway = false
	ec.UnsafeNoFsync = m.opts.noFsync
	if m.opts.fastElection {
		ec.TickMs, ec.ElectionMs = 50, 500
	}
	ec.ServiceRegister = func(s *grpc.Server) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.grpc = append(m.grpc, s)
	}
	if err := m.clientURLs(ec); err != nil {
		return nil, err
	}
	if cfg.Cert != "" {
		tls := transport.TLSInfo{CertFile: cfg.Cert, KeyFile: cfg.Key, TrustedCAFile: cfg.CA, ClientCertAuth: true}
		ec.ClientTLSInfo, ec.PeerTLSInfo = tls, tls
	}
	return ec, peerURLs(ec, cfg)
}

// clientURLs sets where clients are served, and which address other programs
// are told.
func (m *member) clientURLs(ec *embed.Config) error {
	addr, err := resolvePort(m.cfg.Listen)
	if err != nil {
		return err
	}
	cfg := m.cfg
	if addr != cfg.Listen { // once it is known where, it stays there
		m.cfg.Listen = addr
	}
	scheme := "http"
	if cfg.Cert != "" {
		scheme = "https"
	}
	host, port, _ := net.SplitHostPort(addr)
	near := host
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		near = "127.0.0.1"
	}
	listen := net.ParseIP(host)
	if host == "localhost" { // etcd wants literal addresses to listen on
		listen = net.IPv4(127, 0, 0, 1)
	}
	bind := net.JoinHostPort("0.0.0.0", port)
	switch {
	case listen != nil:
		bind = net.JoinHostPort(listen.String(), port)
	case host != "":
		return fmt.Errorf("listen %q: must be a literal address, like %q", cfg.Listen, DefaultListen)
	}
	u := url.URL{Scheme: scheme, Host: net.JoinHostPort(near, port)}
	if m.endpoint == "" {
		m.endpoint = u.String()
	}
	ec.ListenClientUrls = []url.URL{{Scheme: scheme, Host: bind}}
	ec.AdvertiseClientUrls = []url.URL{u}
	return nil
}

// peerURLs sets what concerns other members. A cluster of one listens for
// nobody. Its token is random, so that a member whose data were wiped is told
// apart from the one before; the members of a cluster must agree on theirs.
func peerURLs(ec *embed.Config, cfg Config) error {
	if cfg.Cluster == "" {
		ec.ListenPeerUrls = nil
		if cfg.PeerListen != "" {
			ec.ListenPeerUrls = []url.URL{{Scheme: "http", Host: cfg.PeerListen}}
			ec.AdvertisePeerUrls = ec.ListenPeerUrls
		}
		ec.InitialCluster = ec.InitialClusterFromName(ec.Name)
		ec.InitialClusterToken = rand.Text()
		return nil
	}
	urls, err := types.NewURLsMap(cfg.Cluster)
	if err != nil {
		return fmt.Errorf("cluster %q: %w", cfg.Cluster, err)
	}
	own := urls[cfg.Name]
	if len(own) == 0 {
		return fmt.Errorf("cluster %q: has no entry for this member, %q", cfg.Cluster, cfg.Name)
	}
	ec.AdvertisePeerUrls = own
	ec.ListenPeerUrls = own
	if cfg.PeerListen != "" {
		ec.ListenPeerUrls = []url.URL{{Scheme: own[0].Scheme, Host: cfg.PeerListen}}
	}
	ec.InitialCluster = cfg.Cluster
	entries := strings.Split(cfg.Cluster, ",")
	slices.Sort(entries)
	sum := sha256.Sum256([]byte(strings.Join(entries, ",")))
	ec.InitialClusterToken = hex.EncodeToString(sum[:8])
	return nil
}

// failure says why the member no longer works, or nothing.
func (m *member) failure() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over != "" {
		return "embedded etcd: " + m.over
	}
	if m.etcd == nil {
		return ""
	}
	if msg := m.fatal.get(); msg != "" {
		return "embedded etcd stopped with a fatal error: " + msg
	}
	select {
	case <-m.etcd.Server.StopNotify():
		return "embedded etcd stopped"
	default:
		return ""
	}
}

// waiting says why the member has not joined its cluster yet, or nothing.
func (m *member) waiting() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.waits
}

// stop ends the member. Its clients' connections are cut first: a graceful
// stop would wait for watches, which never end by themselves.
func (m *member) stop() error {
	m.mu.Lock()
	servers, etcd := slices.Clone(m.grpc), m.etcd
	m.mu.Unlock()
	if etcd == nil {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, s := range servers {
			s.Stop()
		}
		select {
		case <-etcd.Server.ReadyNotify():
		default: // Close would wait for a member that is not ready to become so
			etcd.Server.HardStop()
		}
		etcd.Close()
	}()
	late := time.NewTimer(closeMember)
	defer late.Stop()
	select {
	case <-done:
		return nil
	case <-late.C:
		return fmt.Errorf("embedded etcd did not stop within %v", closeMember)
	}
}

func (m *member) close() error {
	m.ended()
	m.errands.Wait()
	err := m.stop()
	return errors.Join(err, m.lock.Close())
}

// claimDir makes the directory and locks it. etcd itself would wait for ever
// for a database that another process holds, so both locks are tried first (the other one by tryDatabase).
func claimDir(dir string) (*fileutil.LockedFile, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded etcd: data directory: %w; must be a directory that this user may write", err)
	}
	lock, err := fileutil.TryLockFile(dir+".lock", os.O_CREATE|os.O_WRONLY, 0o600)
	if errors.Is(err, fileutil.ErrLocked) {
		return nil, fmt.Errorf("embedded etcd: data directory %s is in use by another process; stop it or change \"data_dir\"", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("embedded etcd: data directory %s can't be written: %w", dir, err)
	}
	if err := tryDir(dir); err != nil {
		lock.Close()
		return nil, fmt.Errorf("embedded etcd: data directory %s: %w", dir, err)
	}
	return lock, nil
}

// tryDir tells whether files can be made in dir.
func tryDir(dir string) error {
	f, err := os.CreateTemp(dir, ".try-*")
	if err != nil {
		return fmt.Errorf("can't be written: %w", err)
	}
	f.Close()
	os.Remove(f.Name())
	return nil
}

var errDamaged = errors.New("the database is damaged")

// tryDatabase tells whether the database in dir can be opened.
func tryDatabase(dir string) error {
	path := filepath.Join(dir, "member", "snap", "db")
	if _, err := os.Stat(path); err != nil {
		return nil // a new member
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: 500 * time.Millisecond})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("data directory %s: %s is in use by another process, maybe an etcd; stop it or change \"data_dir\"", dir, path)
	case err != nil:
		return fmt.Errorf("data directory %s: %w: %s can't be opened: %w; restore it, or remove %s to begin anew", dir, errDamaged, path, err, dir)
	}
	return db.Close()
}

// resolvePort puts a free port in the place of port 0.
func resolvePort(listen string) (string, error) {
	if !anyPort(listen) {
		return listen, nil
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return "", err
	}
	defer l.Close()
	host, _, _ := net.SplitHostPort(listen)
	_, port, err := net.SplitHostPort(l.Addr().String())
	return net.JoinHostPort(host, port), err
}

// onLoopback tells whether only this machine can reach an address.
func onLoopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// anyPort tells whether the configuration leaves the port to us (":0").
func anyPort(listen string) bool {
	_, port, err := net.SplitHostPort(listen)
	return err == nil && port == "0"
}
