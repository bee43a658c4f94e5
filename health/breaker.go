package health

import (
	"fmt"
	"time"
)

// BreakerConfig is [breaker]: which changes are too large to be believed at once.
type BreakerConfig struct {
	// MaxSitesLost is the share, 0 to 1, of the sites in service that may go down within
	// Window by the word of one vantage point; 0: any, but for the time after etcd came back.
	MaxSitesLost float64 `toml:"max_sites_lost"`
	// MaxSpaceLost is the share, 0 to 1, of the users (of the address space, names weighed by how
	// often they are asked for) that new databases or a new topology may move to another site at once; 0: any.
	MaxSpaceLost float64       `toml:"max_space_lost"`
	Window       time.Duration `toml:"window"`
	// Hold is how long more than that is held in service, unless it is confirmed or let through.
	Hold time.Duration `toml:"hold"`
}

// The defaults of BreakerConfig.
const (
	DefaultBreakerWindow = 10 * time.Second
	DefaultBreakerHold   = 30 * time.Second
	maxBreakerTime       = time.Hour
)

// WithDefaults returns c with the defaults in place of zero values.
func (c BreakerConfig) WithDefaults() BreakerConfig {
	if c.Window == 0 {
		c.Window = DefaultBreakerWindow
	}
	if c.Hold == 0 {
		c.Hold = DefaultBreakerHold
	}
	return c
}

// Validate calls bad for each fault of c, with its key.
func (c BreakerConfig) Validate(bad func(key, msg string)) {
	if !(c.MaxSitesLost >= 0 && c.MaxSitesLost < 1) {
		bad("max_sites_lost", fmt.Sprintf("%v: must be a share from 0, any number, to less than 1", c.MaxSitesLost))
	}
	if !(c.MaxSpaceLost >= 0 && c.MaxSpaceLost < 1) {
		bad("max_space_lost", fmt.Sprintf("%v: must be a share from 0, any number, to less than 1", c.MaxSpaceLost))
	}
	d := c.WithDefaults()
	for key, v := range map[string]time.Duration{"window": d.Window, "hold": d.Hold} {
		if v < time.Second || v > maxBreakerTime {
			bad(key, fmt.Sprintf("%v: must be 1s to 1h", v))
		}
	}
}

// Confirmed tells whether two vantage points at least say that the site is down, or
// its own balancer does: then it is no fault of one that looks at it.
func (s Status) Confirmed() bool {
	n := 0
	for _, v := range s.Votes {
		if v.State == Down {
			n++
		}
	}
	for _, r := range s.Reports {
		if r.Total > 0 && r.Healthy == 0 {
			return true
		}
	}
	return n >= 2
}
