package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// dialer makes the etcd client. With a user name etcd's client fetches a token
// when it is made, which needs the cluster; so it is made at the first use,
// and again at the next one when that failed.
type dialer struct {
	cfg       Config
	endpoints []string
	tls       *tls.Config
	log       *slog.Logger
}

// newDialer reads and checks the TLS files. endpoint is the embedded member's,
// or empty.
func newDialer(cfg Config, endpoint string, log *slog.Logger) (*dialer, error) {
	d := &dialer{cfg: cfg, endpoints: cfg.Endpoints, log: log}
	if endpoint != "" {
		d.endpoints = []string{endpoint}
	}
	secure := false
	for _, e := range d.endpoints {
		u, err := url.Parse(e)
		if err != nil {
			return nil, fmt.Errorf("endpoint %q: %w", e, err)
		}
		secure = secure || u.Scheme == "https"
	}
	if !secure {
		return d, nil
	}
	for _, f := range [][2]string{{"cert", cfg.Cert}, {"key", cfg.Key}, {"ca", cfg.CA}} {
		if f[1] == "" {
			continue
		}
		if _, err := os.ReadFile(f[1]); err != nil {
			return nil, fmt.Errorf("%s: %w", f[0], err)
		}
	}
	info := transport.TLSInfo{CertFile: cfg.Cert, KeyFile: cfg.Key, TrustedCAFile: cfg.CA}
	if endpoint != "" && cfg.Cert != "" {
		info.ServerName = ownName(cfg)
	}
	var err error
	if d.tls, err = info.ClientConfig(); err != nil {
		return nil, fmt.Errorf("cert %q, key %q, ca %q: %w", cfg.Cert, cfg.Key, cfg.CA, err)
	}
	return d, nil
}

// ownName is a name that the member's certificate is good for: this process
// reaches its own member over loopback, which no certificate needs to name.
func ownName(cfg Config) string {
	pair, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
	if err != nil {
		return ""
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	switch {
	case err != nil:
		return ""
	case len(leaf.DNSNames) > 0:
		return leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String()
	}
	return ""
}

// dial makes a client. It connects by itself, later, as often as needed.
func (d *dialer) dial() (*clientv3.Client, error) {
	zl, _ := newZap(slog.New(slog.DiscardHandler)) // each failure is an error value here: the client's own log says it again
	c, err := clientv3.New(clientv3.Config{
		Endpoints: d.endpoints,
		TLS:       d.tls,
		Username:  d.cfg.User,
		Password:  d.cfg.Password,
		Logger:    zl,
		// With a user the token is fetched within this time.
		DialTimeout: 2 * time.Second,
		// gRPC takes 10 s as the least keep-alive time. The timeout also becomes
		// TCP_USER_TIMEOUT: with the heartbeats of the watches in flight, the
		// kernel gives a dead connection up after it.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			// The default backs off to two minutes: too long to miss an etcd that is back.
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 2 * time.Second,
		})},
	})
	if err != nil {
		return nil, fmt.Errorf("etcd %v: %w", d.endpoints, err)
	}
	return c, nil
}

// errClosed is what every call gets after Close.
var errClosed = errors.New("store is closed")

// client returns the client, made now if there is none yet.
func (s *Store) client() (*clientv3.Client, error) {
	s.cliMu.Lock()
	defer s.cliMu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.cli == nil {
		c, err := s.dialer.dial()
		if err != nil {
			return nil, err
		}
		s.cli = c
	}
	return s.cli, nil
}

// bounded gives a call without a deadline one.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
