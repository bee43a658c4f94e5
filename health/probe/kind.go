package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Prober asks one target once.
type Prober interface {
	// Probe returns nil if the target is healthy, and otherwise an error that says
	// what was seen. It ends within the check's timeout, or when ctx does. An error
	// that is [ErrNotProbed] or ctx's own tells nothing of the target.
	Probe(ctx context.Context) error
}

// ErrNotProbed is within the error of a probe that this machine could not make.
var ErrNotProbed = errors.New("not probed")

// Target is what a check is run against.
type Target struct {
	Name    string // for people and for the caller to know it again
	Address string // host or host:port; [Config.Port] is used when it has no port
}

// kind is one type of check.
type kind struct {
	name string
	port int  // where its servers listen by default; 0: must be stated
	http bool // has the keys of http: path, host, status
	tls  bool // has the keys of TLS: skip_verify, ca
	make func(c Config, address string, cas *authorities) (Prober, error)
}

// kinds is the table of check types. To add one, write its file and its line.
func kinds() []kind {
	return []kind{
		{name: "tcp", make: newTCP},
		{name: "http", port: 80, http: true, make: newHTTP},
		{name: "https", port: 443, http: true, tls: true, make: newHTTPS},
	}
}

func kindOf(name string) (kind, bool) {
	for _, k := range kinds() {
		if k.name == name {
			return k, true
		}
	}
	return kind{}, false
}

// New returns the Prober of cfg, with its defaults, for t. It fails on what a
// Prober cannot be made of, and on an unreadable CA file, which is read here and
// not again. How often it is to be asked is the [Runner]'s matter, so interval,
// rise and fall are not looked at.
func New(cfg Config, t Target) (Prober, error) {
	return newProber(cfg, t, &authorities{})
}

func newProber(cfg Config, t Target, cas *authorities) (Prober, error) {
	cfg = cfg.WithDefaults()
	address, err := dialAddress(cfg, t)
	if err != nil {
		return nil, err
	}
	var faults []error
	cfg.validateWire(func(key, msg string) {
		if key != "port" { // dialAddress has the last word: a target may state its own
			faults = append(faults, fmt.Errorf("%s %s", key, msg))
		}
	})
	if len(faults) > 0 {
		return nil, fmt.Errorf("check of %s: %w", t, errors.Join(faults...))
	}
	k, _ := kindOf(cfg.Type)
	p, err := k.make(cfg, address, cas)
	if err != nil {
		return nil, fmt.Errorf("check of %s: %w", t, err)
	}
	return p, nil
}

// String is the name and the address, as in error messages.
func (t Target) String() string {
	if t.Name == "" || t.Name == t.Address {
		return t.Address
	}
	return t.Name + " at " + t.Address
}

// dialAddress returns where t is reached: host:port.
func dialAddress(c Config, t Target) (string, error) {
	host, port := t.Address, ""
	switch _, err := netip.ParseAddr(host); {
	case err == nil: // a bare address, of IPv6 perhaps: its colons are no port
	case strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]"):
		host = host[1 : len(host)-1]
	case strings.Contains(host, ":"):
		var err error
		if host, port, err = net.SplitHostPort(t.Address); err != nil {
			return "", fmt.Errorf("target %q: address %q: must be host or host:port", t.Name, t.Address)
		}
	}
	if !validHost(host) {
		return "", fmt.Errorf("target %q: address %q: must be an address or a host name, and perhaps a port", t.Name, t.Address)
	}
	if port == "" {
		if c.Port == 0 {
			return "", fmt.Errorf("target %q: address %q has no port, and neither has its check", t.Name, t.Address)
		}
		port = strconv.Itoa(c.Port)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("target %q: address %q: port must be 1 to 65535", t.Name, t.Address)
	}
	return net.JoinHostPort(host, port), nil
}

// authorities keeps each CA file's certificates, so that ten thousand checks that
// name one file share one pool. Not safe for concurrent use.
type authorities struct {
	pools map[string]*x509.CertPool
}

// pool returns the certificates in the PEM file, nil (the system's) for none.
func (a *authorities) pool(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	if p, ok := a.pools[file]; ok {
		return p, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca %s: has no PEM certificate", file)
	}
	if a.pools == nil {
		a.pools = map[string]*x509.CertPool{}
	}
	a.pools[file] = p
	return p, nil
}
