package probe

import (
	"net/netip"
	"slices"
	"time"
)

// Config is one [check.NAME] of the configuration. The zero value of each field
// but Type means its default. Which types have which keys stands in the table in
// kind.go.
type Config struct {
	Type string `toml:"type"` // a name in the table in kind.go
	Port int    `toml:"port"` // of targets that state none; 0: the type's own, if it has one

	// Of all that probe:
	Interval time.Duration `toml:"interval"` // between the starts of two probes, at most; default 2s
	Jitter   time.Duration `toml:"jitter"`   // how much earlier a probe may start, at random; default a tenth of Interval
	Timeout  time.Duration `toml:"timeout"`  // of one probe, all of it; at most Interval; default 1s or Interval
	Rise     int           `toml:"rise"`     // successes in a row until up; default 4, so that fail-back is slower than failover
	Fall     int           `toml:"fall"`     // failures in a row until down; default 3
	Slow     time.Duration `toml:"slow"`     // a success that took longer is a degraded one; 0: none is
	Source   []netip.Addr  `toml:"source"`   // to probe from, at most one of each family; none: as the system chooses

	// Preamble is sent first over a TCP connection, before TLS: a header of the PROXY protocol to
	// servers that wait for one. It is not in the configuration; the balancer sets it.
	Preamble string `toml:"-"`

	// Generation is where a success tells the content generation that is served.
	Generation GenerationSource `toml:"generation"`

	// Of http and https:
	Method      string            `toml:"method"`       // default "GET"
	Path        string            `toml:"path"`         // default "/"
	Host        string            `toml:"host"`         // Host header and SNI; empty: the target's address. SNI and name of the certificate for tls, :authority for grpc
	Headers     map[string]string `toml:"headers"`      // sent beside the usual ones
	Body        string            `toml:"body"`         // sent with the request
	Status      []Status          `toml:"status"`       // what counts as success; empty: 200 to 399
	BodyMatch   string            `toml:"body_match"`   // regular expression that the body has to match
	HeaderMatch map[string]string `toml:"header_match"` // header to regular expression
	JSON        map[string]string `toml:"json"`         // path in the body to regular expression
	Redirects   int               `toml:"redirects"`    // how many are followed; 0: a redirect is an answer
	HTTPVersion string            `toml:"http_version"` // "1.1" (default) or "2"

	// Of all that speak TLS:
	// SkipVerify accepts any certificate. TLS is verified by default.
	SkipVerify    bool          `toml:"skip_verify"`
	CA            string        `toml:"ca"`             // PEM file to verify against instead of the system's
	ExpiryWarning time.Duration `toml:"expiry_warning"` // a certificate that ends sooner is warned of; default 14 days

	// Of tcp, udp and agent:
	Send    string `toml:"send"`     // sent once connected
	SendHex string `toml:"send_hex"` // the same for octets that are no text
	Expect  string `toml:"expect"`   // regular expression that what comes back has to match

	// Of dns:
	Query     string   `toml:"query"`      // the name asked for
	QueryType string   `toml:"query_type"` // default "A"
	Transport string   `toml:"transport"`  // "udp" (default) or "tcp"
	Rcode     string   `toml:"rcode"`      // wanted; default "NOERROR"
	Answer    []string `toml:"answer"`     // each has to be among the answer's data; empty: anything

	// Of grpc:
	Service string `toml:"service"` // asked about; empty: the server as a whole
	TLS     bool   `toml:"tls"`

	// Of exec:
	Argv         []string `toml:"argv"`          // program and arguments; no shell
	ExitDegraded []int    `toml:"exit_degraded"` // exit codes that mean degraded; 0 is up, all others down
	ExitUnknown  []int    `toml:"exit_unknown"`  // exit codes that mean that nothing is known

	// Of push:
	TTL      time.Duration `toml:"ttl"`       // how long what was reported counts, where the report does not say; default 30s
	OnExpiry string        `toml:"on_expiry"` // "unknown" (default) or "down"

	// Of those that are made of others:
	Of      []string           `toml:"of"`       // names of other checks
	AtLeast float64            `toml:"at_least"` // how many, or how much weight, must pass
	Weights map[string]float64 `toml:"weights"`  // of the parts; default 1

	// Filled by [Resolve]:
	Name    string   `toml:"-"` // of the check
	Parts   []Config `toml:"-"` // the checks that Of names
	OwnPort bool     `toml:"-"` // Port goes before the one that a target states
}

// The defaults of Config that more than one place needs.
const (
	defaultInterval = 2 * time.Second
	defaultTimeout  = time.Second
	defaultExpiry   = 14 * 24 * time.Hour
	defaultTTL      = 30 * time.Second
)

// WithDefaults returns c with the defaults in place of zero values.
func (c Config) WithDefaults() Config {
	k, _ := kindOf(c.Type)
	if k.composite {
		return c
	}
	c.scheduleDefaults(k)
	set := func(key string, field *string, value string) {
		if *field == "" && slices.Contains(k.keys, key) {
			*field = value
		}
	}
	if c.Port == 0 && k.port > 0 {
		c.Port = k.port
	}
	set("path", &c.Path, "/")
	set("method", &c.Method, "GET")
	set("http_version", &c.HTTPVersion, "1.1")
	set("query_type", &c.QueryType, "A")
	set("transport", &c.Transport, "udp")
	set("rcode", &c.Rcode, "NOERROR")
	set("on_expiry", &c.OnExpiry, "unknown")
	if c.ExpiryWarning == 0 && c.speaksTLS(k) {
		c.ExpiryWarning = defaultExpiry
	}
	if c.TTL == 0 && slices.Contains(k.keys, "ttl") {
		c.TTL = defaultTTL
	}
	return c
}

func (c *Config) scheduleDefaults(k kind) {
	if c.Interval == 0 {
		c.Interval = defaultInterval
	}
	if c.Jitter == 0 && !k.passive {
		c.Jitter = max(c.Interval/10, 0)
	}
	if c.Timeout == 0 && !k.passive {
		c.Timeout = min(defaultTimeout, c.Interval)
	}
	if c.Rise == 0 && !k.passive {
		c.Rise = 4
	}
	if c.Fall == 0 && !k.passive {
		c.Fall = 3
	}
}

// speaksTLS tells whether a check of this configuration makes TLS.
func (c Config) speaksTLS(k kind) bool {
	return slices.Contains(k.keys, "ca") && (c.TLS || !slices.Contains(k.keys, "tls"))
}
