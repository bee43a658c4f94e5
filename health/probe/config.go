package probe

import "time"

// Config is one [check.NAME] of the configuration. The zero value of each field
// but Type means its default.
type Config struct {
	Type     string        `toml:"type"`     // "tcp", "http" or "https"
	Port     int           `toml:"port"`     // of targets that state none; 0: 80 for http, 443 for https; tcp must state one
	Interval time.Duration `toml:"interval"` // between the starts of two probes, at most; default 2s
	Timeout  time.Duration `toml:"timeout"`  // of one probe, all of it; at most Interval; default 1s or Interval
	Rise     int           `toml:"rise"`     // successes in a row until up; default 4, so that fail-back is slower than failover
	Fall     int           `toml:"fall"`     // failures in a row until down; default 3

	// Of http and https:
	Path   string `toml:"path"`   // default "/"
	Host   string `toml:"host"`   // Host header and SNI; empty: the target's address
	Status []int  `toml:"status"` // what counts as success; empty: 200 to 399

	// Of https:
	// SkipVerify accepts any certificate. TLS is verified by default.
	SkipVerify bool   `toml:"skip_verify"`
	CA         string `toml:"ca"` // PEM file to verify against instead of the system's
}

// WithDefaults returns c with the defaults in place of zero values.
func (c Config) WithDefaults() Config {
	if c.Interval == 0 {
		c.Interval = 2 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = min(time.Second, c.Interval)
	}
	if c.Rise == 0 {
		c.Rise = 4
	}
	if c.Fall == 0 {
		c.Fall = 3
	}
	k, _ := kindOf(c.Type)
	if c.Port == 0 {
		c.Port = k.port
	}
	if c.Path == "" && k.http {
		c.Path = "/"
	}
	return c
}
