package probe

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"gslb/health"
)

// controlName is before the names of control targets; no site's has a space.
const controlName = "control "

// controlTimes bound how often a control target is probed.
const (
	controlLeast = 250 * time.Millisecond
	controlMost  = 2 * time.Second
)

// Control reads a target that a checker has to see, or it is the checker that is
// cut off:
//
//	1.1.1.1:53                      a TCP connection
//	tcp://1.1.1.1:53                likewise
//	http://HOST/PATH, https://…     a GET that is answered 200 to 399
//	icmp://1.1.1.1                  an echo
//	dns://1.1.1.1/example.com       a query that is answered NOERROR
//
// sites are the checks of the sites: a control target is probed as often as the most
// frequent of them, and is down after fewer failures than a site by default.
func Control(text string, sites []Check) (Check, error) {
	c := Check{Config: Config{Type: "tcp", Rise: 2, Fall: 2, Interval: controlMost}, Target: Target{Name: controlName + text, Address: text}}
	for _, s := range sites {
		if i := s.Config.WithDefaults().Interval; i > 0 {
			c.Config.Interval = max(min(c.Config.Interval, i), controlLeast)
		}
	}
	c.Config.Timeout = min(c.Config.Interval, defaultTimeout)
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return c, fmt.Errorf(controlWanted, text)
		}
		c.Target.Address, c.Config.Type = u.Host, u.Scheme
		switch u.Scheme {
		case "http", "https":
			c.Config.Path, c.Config.Host = u.RequestURI(), u.Hostname()
		case "dns":
			c.Config.Query = strings.TrimPrefix(u.Path, "/")
		case "tcp", "icmp":
		default:
			return c, fmt.Errorf(controlWanted, text)
		}
	} else if _, _, err := net.SplitHostPort(text); err != nil {
		return c, fmt.Errorf(controlWanted, text)
	}
	if _, err := New(c.Config, c.Target); err != nil {
		return c, fmt.Errorf("%q: %w", text, err)
	}
	return c, nil
}

const controlWanted = `%q: must be host:port, or "http://…", "https://…", "icmp://HOST" or "dns://HOST/NAME"`

// IsControl tells whether a target is one of those.
func (t Target) IsControl() bool { return strings.HasPrefix(t.Name, controlName) }

// Sight tells how many control targets there are, how many of them are down, and
// what of the first of these was seen. One without a verdict is not down.
func (r *Runner) Sight() (all, down int, detail string) {
	for _, res := range r.results(Target.IsControl) {
		all++
		if res.State == health.Down {
			down++
			if detail == "" {
				detail = res.Detail
			}
		}
	}
	return all, down, detail
}

// Doubt forgets the verdicts of down that began after since, other than those on
// control targets: they say nothing of their targets, since this machine could not
// see. They are Unknown until the next probes.
func (r *Runner) Doubt(since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range r.units {
		if u.prober == nil || u.target.IsControl() || u.machine.State() != health.Down || !u.machine.Since().After(since) {
			continue
		}
		u.machine.Restore(health.Unknown, time.Time{}, u.detail)
		r.turned(u)
	}
}
