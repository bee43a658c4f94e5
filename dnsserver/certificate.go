package dnsserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gslb/stamp"
	"gslb/steady"
)

const (
	// certificateLook is how often the files of certificates are looked at.
	certificateLook = 2 * time.Second
	// renewBefore is how long before its end a certificate should have been
	// replaced; of short-lived ones, a third of their life before.
	renewBefore = 14 * 24 * time.Hour
)

// certificate is a chain with its key in PEM files. It is read anew when the
// files change; a pair that is no good leaves the one before in force.
type certificate struct {
	what      string // the table of the configuration that it is for
	cert, key string
	log       *slog.Logger
	now       atomic.Pointer[tls.Certificate]

	mu    sync.Mutex // guards all below
	seen  [2]stamp.Stamp
	fault string
}

// readPair reads a chain and its key.
func readPair(cert, key string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", cert, key, err)
	}
	return &pair, nil
}

// CheckCertificates tells whether the pairs of certificate and key that the
// configuration names can be used.
func (c Config) CheckCertificates() error {
	var errs []error
	for _, p := range c.certificates(nil) {
		if _, err := readPair(p.cert, p.key); err != nil {
			errs = append(errs, fmt.Errorf("[dns.%s] %w", p.what, err))
		}
	}
	return errors.Join(errs...)
}

// certificates lists the pairs that the configuration needs, unread.
func (c Config) certificates(log *slog.Logger) (all []*certificate) {
	for _, p := range []struct {
		what, cert, key string
		listen          []string
	}{{"tls", c.TLS.Cert, c.TLS.Key, c.TLS.Listen}, {"https", c.HTTPS.Cert, c.HTTPS.Key, c.HTTPS.Listen}, {"quic", c.QUIC.Cert, c.QUIC.Key, c.QUIC.Listen}} {
		if len(p.listen) > 0 {
			all = append(all, &certificate{what: p.what, cert: p.cert, key: p.key, log: log})
		}
	}
	return all
}

// read reads the files. Their state is taken first: what changes while they are
// read is seen the next time.
func (c *certificate) read() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = c.look()
	pair, err := readPair(c.cert, c.key)
	if err != nil {
		c.fault = err.Error()
		return err
	}
	c.fault = ""
	c.now.Store(pair)
	return nil
}

// look tells what the files are like now; the zero Stamp for one that cannot be seen.
func (c *certificate) look() (now [2]stamp.Stamp) {
	for i, path := range [...]string{c.cert, c.key} {
		if info, err := os.Stat(path); err == nil {
			now[i] = stamp.Of(info)
		}
	}
	return now
}

// changed tells whether a file is another one than when it was read.
func (c *certificate) changed() bool {
	now := c.look()
	c.mu.Lock()
	defer c.mu.Unlock()
	return now != c.seen
}

// reread reads the files anew and says what came of it.
func (c *certificate) reread() {
	if err := c.read(); err != nil {
		c.log.Error("a certificate cannot be used; the one before stays in use", "for", "dns."+c.what, "error", err)
		return
	}
	c.log.Info("a certificate was read", "for", "dns."+c.what, "cert", c.cert, "expires", c.now.Load().Leaf.NotAfter)
}

// problem tells what a person should look at; "" for nothing.
func (c *certificate) problem(at time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fault != "" {
		return fmt.Sprintf("[dns.%s]: %s; the one read before stays in use", c.what, c.fault)
	}
	leaf := c.now.Load().Leaf
	end := leaf.NotAfter.UTC().Format(time.RFC3339)
	switch before := min(renewBefore, leaf.NotAfter.Sub(leaf.NotBefore)/3); {
	case at.After(leaf.NotAfter):
		return fmt.Sprintf("[dns.%s]: the certificate %s has expired at %s", c.what, c.cert, end)
	case at.Before(leaf.NotBefore):
		return fmt.Sprintf("[dns.%s]: the certificate %s is not valid before %s", c.what, c.cert, leaf.NotBefore.UTC().Format(time.RFC3339))
	case leaf.NotAfter.Sub(at) < before:
		return fmt.Sprintf("[dns.%s]: the certificate %s expires at %s", c.what, c.cert, end)
	}
	return ""
}

// get is for tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.now.Load(), nil }

// readCertificates reads all pairs for the first time.
func (s *Server) readCertificates() error {
	s.certificates = s.cfg.certificates(s.log)
	for _, c := range s.certificates {
		if err := c.read(); err != nil {
			return fmt.Errorf("[dns.%s] %w", c.what, err)
		}
	}
	return nil
}

// certificate gives the pair of a table.
func (s *Server) certificate(what string) *certificate {
	for _, c := range s.certificates {
		if c.what == what {
			return c
		}
	}
	return nil
}

// ReadCertificates reads the certificates anew, changed or not. One that cannot
// be used leaves the one before in force; CertificateProblems tells.
func (s *Server) ReadCertificates() {
	for _, c := range s.certificates {
		c.reread()
	}
}

// CertificateProblems lists certificates that cannot be used and those that expire soon.
func (s *Server) CertificateProblems() (all []string) {
	for _, c := range s.certificates {
		if text := c.problem(steady.Now()); text != "" {
			all = append(all, text)
		}
	}
	return all
}

// watchCertificates reads anew what changes, until done is closed.
func (s *Server) watchCertificates(done <-chan struct{}) {
	t := time.NewTicker(certificateLook)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
			for _, c := range s.certificates {
				if c.changed() {
					c.reread()
				}
			}
		}
	}
}
