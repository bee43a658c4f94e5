package probe

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Bounds of the configuration. A shorter interval is a load test, a longer one
// is no health check.
const (
	minInterval = 100 * time.Millisecond
	maxInterval = time.Hour
	minTimeout  = time.Millisecond
	maxCount    = 100 // rise and fall
)

// Validate calls bad once for each fault of c, with the key of the TOML table and
// what would be right. It looks at no file and no network: whether the CA can be
// read is known when the check starts.
func (c Config) Validate(bad func(key, msg string)) {
	d := c.WithDefaults()
	if d.Interval < minInterval || d.Interval > maxInterval {
		bad("interval", fmt.Sprintf("%v: must be %v to 1h", d.Interval, minInterval))
	}
	switch {
	case c.Timeout == 0: // the default fits the interval
	case d.Timeout < minTimeout:
		bad("timeout", fmt.Sprintf("%v: must be at least %v", d.Timeout, minTimeout))
	case d.Timeout > d.Interval:
		bad("timeout", fmt.Sprintf("%v: must be at most the interval, %v, or a probe would run into the next", d.Timeout, d.Interval))
	}
	if d.Rise < 1 || d.Rise > maxCount {
		bad("rise", fmt.Sprintf("%d: must be 1 to %d", d.Rise, maxCount))
	}
	if d.Fall < 1 || d.Fall > maxCount {
		bad("fall", fmt.Sprintf("%d: must be 1 to %d", d.Fall, maxCount))
	}
	d.validateWire(bad)
}

// validateWire checks what a Prober is made of, defaults already in place.
func (c Config) validateWire(bad func(key, msg string)) {
	k, ok := kindOf(c.Type)
	if !ok {
		bad("type", unknownType(c.Type))
		return // which of the other keys fit is not known
	}
	switch {
	case c.Port == 0:
		bad("port", fmt.Sprintf("is not set: a check of type %q must state the port", c.Type))
	case c.Port < 1 || c.Port > 65535:
		bad("port", fmt.Sprintf("%d: must be 1 to 65535", c.Port))
	}
	c.validateHTTP(k, bad)
	c.validateTLS(k, bad)
}

func (c Config) validateHTTP(k kind, bad func(key, msg string)) {
	if !k.http {
		only := fmt.Sprintf("is only for http and https, and this check is of type %q", c.Type)
		if c.Path != "" {
			bad("path", only)
		}
		if c.Host != "" {
			bad("host", only)
		}
		if len(c.Status) > 0 {
			bad("status", only)
		}
		return
	}
	if !strings.HasPrefix(c.Path, "/") {
		bad("path", fmt.Sprintf("%q: must begin with \"/\"", c.Path))
	} else if strings.ContainsFunc(c.Path, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		bad("path", fmt.Sprintf("%q: must be as it is sent: no blank, no \"#\", others than ASCII percent-encoded", c.Path))
	}
	if c.Host != "" {
		host, port := splitHost(c.Host)
		if _, err := strconv.ParseUint(port, 10, 16); !validHost(host) || port != "" && err != nil {
			bad("host", fmt.Sprintf("%q: must be a host name or an address, and perhaps a port", c.Host))
		}
	}
	for _, s := range c.Status {
		if s < 100 || s > 599 {
			bad("status", fmt.Sprintf("%d: must be 100 to 599", s))
		}
	}
}

func (c Config) validateTLS(k kind, bad func(key, msg string)) {
	switch {
	case !k.tls && c.SkipVerify:
		bad("skip_verify", fmt.Sprintf("is only for https, and this check is of type %q", c.Type))
	case c.SkipVerify && c.CA != "":
		bad("skip_verify", "true: must not stand beside ca, since nothing would be verified against it")
	}
	if !k.tls && c.CA != "" {
		bad("ca", fmt.Sprintf("is only for https, and this check is of type %q", c.Type))
	}
}

// unknownType says what is wrong with a type that is not in the table.
func unknownType(name string) string {
	var names []string
	near, best := "", 3 // a slip is two letters at most
	for _, k := range kinds() {
		names = append(names, fmt.Sprintf("%q", k.name))
		if d := distance(strings.ToLower(name), k.name); d < best {
			near, best = k.name, d
		}
	}
	all := strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
	switch {
	case name == "":
		return "is not set: must be " + all
	case near != "":
		return fmt.Sprintf("%q: must be %s; did you mean %q?", name, all, near)
	}
	return fmt.Sprintf("%q: must be %s", name, all)
}

// distance is the number of letters to insert, delete or change to come from a
// to b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// splitHost takes a port off host, if there is one.
func splitHost(s string) (host, port string) {
	if h, p, err := net.SplitHostPort(s); err == nil {
		return h, p
	}
	return strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), ""
}

// validHost tells whether s is an address, or made of what host names are made
// of. What is between the lines of a request must not come from the configuration.
func validHost(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Zone() == "" || validHost(a.Zone()) // anything goes as a zone for ParseAddr
	}
	return s != "" && len(s) <= 254 && !strings.ContainsFunc(s, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && r != '-' && r != '.' && r != '_'
	})
}
