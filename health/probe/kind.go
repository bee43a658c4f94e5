package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Prober asks one target once.
type Prober interface {
	// Probe returns a nil error if the target is healthy, with what else was
	// seen, and otherwise an error that says what was seen. It ends within the
	// check's timeout, or when ctx does. An error that is [ErrNotProbed] or ctx's
	// own tells nothing of the target.
	Probe(ctx context.Context) (Seen, error)
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
	port int // where its servers listen by default; 0: must be stated; noPort: it knows none
	keys []string
	// ownPort: what it asks is not what users ask, so the port of the target is not its own.
	ownPort bool
	// passive: it sends nothing, so that there is nothing to time or to repeat.
	passive bool
	// composite: it is made of other checks and probes nothing itself.
	composite bool
	// validate reports faults of the keys of its own, defaults in place; nil: there are none.
	validate func(c Config, bad func(key, msg string))
	make     func(c Config, t Target, address string, m *means) (Prober, error)
}

const noPort = -1

// kinds is the table of check types, made once.
var kinds = makeKinds()

// makeKinds makes the table. To add a type, write its file and its line.
func makeKinds() []kind {
	talk := []string{"port", "source", "send", "send_hex", "expect", "generation"}
	return []kind{
		{name: "tcp", keys: talk, validate: Config.validateExchange, make: newTCP},
		{name: "udp", keys: talk, validate: Config.validateUDP, make: newUDP},
		{name: "tls", port: 443, keys: slices.Concat([]string{"port", "source", "generation"}, tlsKeys), validate: Config.validateTLS, make: newTLS},
		{name: "http", port: 80, keys: httpKeys, validate: Config.validateHTTP, make: newHTTP},
		{name: "https", port: 443, keys: slices.Concat(httpKeys, tlsKeys), validate: Config.validateHTTPS, make: newHTTPS},
		{name: "dns", port: 53, keys: []string{"port", "source", "query", "query_type", "transport", "rcode", "answer", "generation"}, validate: Config.validateDNS, make: newDNS},
		{name: "icmp", port: noPort, keys: []string{"source", "generation"}, make: newICMP},
		{name: "grpc", keys: slices.Concat([]string{"port", "source", "service", "tls", "generation"}, tlsKeys), validate: Config.validateGRPC, make: newGRPC},
		{name: "exec", port: noPort, keys: []string{"port", "argv", "exit_degraded", "exit_unknown", "generation"}, validate: Config.validateExec, make: newExec},
		{name: "agent", ownPort: true, keys: []string{"port", "source", "send", "send_hex", "generation"}, validate: Config.validateExchange, make: newAgent},
		{name: "push", port: noPort, keys: []string{"ttl", "on_expiry"}, passive: true, validate: Config.validatePush, make: newPush},
		{name: "all", port: noPort, keys: []string{"of"}, composite: true, validate: Config.validateParts},
		{name: "any", port: noPort, keys: []string{"of"}, composite: true, validate: Config.validateParts},
		{name: "at-least", port: noPort, keys: []string{"of", "at_least"}, composite: true, validate: Config.validateParts},
		{name: "weighted", port: noPort, keys: []string{"of", "at_least", "weights"}, composite: true, validate: Config.validateParts},
		{name: "not", port: noPort, keys: []string{"of"}, composite: true, validate: Config.validateParts},
	}
}

func kindOf(name string) (kind, bool) {
	for _, k := range kinds {
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
	return newProber(cfg, t, &means{exec: true})
}

func newProber(cfg Config, t Target, m *means) (Prober, error) {
	cfg = cfg.WithDefaults()
	k, _ := kindOf(cfg.Type)
	if k.composite {
		return newComposite(cfg, t, m)
	}
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
	p, err := k.make(cfg, t, address, m)
	if err != nil {
		return nil, fmt.Errorf("check of %s: %w", t, err)
	}
	if cfg.Generation.File != "" {
		p = &fileGeneration{p, cfg.Generation.File}
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

// dialAddress returns where t is reached: host:port, or the host alone where
// the check knows no ports.
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
	k, _ := kindOf(c.Type)
	if c.Port > 0 && (port == "" || c.OwnPort || k.ownPort) {
		port = strconv.Itoa(c.Port)
	}
	if port == "" && k.port == noPort {
		return host, nil
	}
	if port == "" {
		return "", fmt.Errorf("target %q: address %q has no port, and neither has its check", t.Name, t.Address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("target %q: address %q: port must be 1 to 65535", t.Name, t.Address)
	}
	if k.port == noPort && !k.has("port") {
		return host, nil
	}
	return net.JoinHostPort(host, port), nil
}

// means is what probes are made with.
type means struct {
	authorities
	board *Board // of what applications report; nil: nobody can
	exec  bool   // programs may be run
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
