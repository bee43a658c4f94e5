package probe

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Bounds of the configuration. A shorter interval is a load test, a longer one
// is no health check.
const (
	minInterval = 100 * time.Millisecond
	maxInterval = time.Hour
	minTimeout  = time.Millisecond
	maxCount    = 100 // rise and fall

	maxSend      = 16 << 10 // octets of a request's body, or of what is sent
	maxDatagrams = 64       // that are looked at for one that matches
	maxRedirects = 10
	maxTTL       = 24 * time.Hour // of what is pushed
	maxExpiry    = 366 * 24 * time.Hour
)

// Validate calls bad once for each fault of c, with the key of the TOML table and
// what would be right. It looks at no file and no network: whether the CA can be
// read is known when the check starts. What Of names is [Resolve]'s matter.
func (c Config) Validate(bad func(key, msg string)) {
	k, known := kindOf(c.Type)
	if !known {
		bad("type", unknownType(c.Type))
		k = kind{port: noPort} // which of the other keys fit is not known
	}
	if !k.composite {
		c.validateSchedule(k, bad)
	}
	if known {
		c.WithDefaults().validateWire(bad)
	}
}

func (c Config) validateSchedule(k kind, bad func(key, msg string)) {
	d := c.WithDefaults()
	if d.Interval < minInterval || d.Interval > maxInterval {
		bad("interval", fmt.Sprintf("%v: must be %v to 1h", d.Interval, minInterval))
	}
	if k.passive {
		return
	}
	switch {
	case c.Timeout == 0: // the default fits the interval
	case d.Timeout < minTimeout:
		bad("timeout", fmt.Sprintf("%v: must be at least %v", d.Timeout, minTimeout))
	case d.Timeout > d.Interval:
		bad("timeout", fmt.Sprintf("%v: must be at most the interval, %v, or a probe would run into the next", d.Timeout, d.Interval))
	}
	if c.Jitter != 0 && (d.Jitter < 0 || d.Jitter > d.Interval/2) {
		bad("jitter", fmt.Sprintf("%v: must be at most half the interval, %v", d.Jitter, d.Interval/2))
	}
	if d.Rise < 1 || d.Rise > maxCount {
		bad("rise", fmt.Sprintf("%d: must be 1 to %d", d.Rise, maxCount))
	}
	if d.Fall < 1 || d.Fall > maxCount {
		bad("fall", fmt.Sprintf("%d: must be 1 to %d", d.Fall, maxCount))
	}
	if c.Slow != 0 && (c.Slow < minTimeout || c.Slow >= d.Timeout) {
		bad("slow", fmt.Sprintf("%v: must be at least %v and less than the timeout, %v, or nothing would be slow", c.Slow, minTimeout, d.Timeout))
	}
}

// validateWire checks what a Prober is made of, defaults already in place.
func (c Config) validateWire(bad func(key, msg string)) {
	k, ok := kindOf(c.Type)
	if !ok {
		bad("type", unknownType(c.Type))
		return // which of the other keys fit is not known
	}
	c.validateKeys(k, bad)
	switch {
	case !k.has("port"):
	case c.Port == 0 && k.port != 0: // it has one, or needs none
	case c.Port == 0:
		bad("port", fmt.Sprintf("is not set: a check of type %q must state the port", c.Type))
	case c.Port < 0 || c.Port > 65535:
		bad("port", fmt.Sprintf("%d: must be 1 to 65535", c.Port))
	}
	c.validateSource(bad)
	c.validateGeneration(bad)
	if k.validate != nil {
		k.validate(c, bad)
	}
}

// validateSource: a probe of IPv4 starts from one address, and of IPv6 too.
func (c Config) validateSource(bad func(key, msg string)) {
	for i, a := range c.Source {
		key := fmt.Sprintf("source[%d]", i)
		switch {
		case !a.IsValid(): // reported where it was read
		case a.Is4In6(), a.IsUnspecified(), a.IsMulticast():
			bad(key, fmt.Sprintf("%q: must be an address of this machine", a))
		case slices.ContainsFunc(c.Source[:i], func(b netip.Addr) bool { return a.Is4() == b.Is4() }):
			bad(key, fmt.Sprintf("%q: there may be one address of each family", a))
		}
	}
}

func (c Config) validateHTTPS(bad func(key, msg string)) {
	c.validateHTTP(bad)
	c.validateTLS(bad)
}

func (c Config) validateHTTP(bad func(key, msg string)) {
	if !strings.HasPrefix(c.Path, "/") {
		bad("path", fmt.Sprintf("%q: must begin with \"/\"", c.Path))
	} else if strings.ContainsFunc(c.Path, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		bad("path", fmt.Sprintf("%q: must be as it is sent: no blank, no \"#\", others than ASCII percent-encoded", c.Path))
	}
	c.validateHost(bad)
	for i, s := range c.Status {
		if s.From < 100 || s.To > 599 || s.From > s.To {
			bad(fmt.Sprintf("status[%d]", i), fmt.Sprintf("%s: must be 100 to 599, or a range within that", s))
		}
	}
	if c.Method != strings.ToUpper(c.Method) || !httpguts.ValidHeaderFieldName(c.Method) || c.Method == "CONNECT" {
		bad("method", fmt.Sprintf("%q: must be an HTTP method in capitals, such as GET, HEAD or POST", c.Method))
	}
	for name, value := range c.Headers {
		validateHeader("headers", name, bad)
		if !httpguts.ValidHeaderFieldValue(value) {
			bad("headers", fmt.Sprintf("%s: %q: must be one line of text", name, value))
		}
	}
	if len(c.Body) > maxSend {
		bad("body", fmt.Sprintf("is longer than %d octets", maxSend))
	}
	c.validateMatches(bad)
	if c.Redirects < 0 || c.Redirects > maxRedirects {
		bad("redirects", fmt.Sprintf("%d: must be 0 to %d", c.Redirects, maxRedirects))
	}
	if c.HTTPVersion != "1.1" && c.HTTPVersion != "2" {
		bad("http_version", fmt.Sprintf(`%q: must be "1.1" or "2"`, c.HTTPVersion))
	}
}

func validateHeader(key, name string, bad func(key, msg string)) {
	switch http.CanonicalHeaderKey(name) {
	case "Host":
		bad(key, fmt.Sprintf("%q: set host instead", name))
	case "Content-Length", "Transfer-Encoding", "Connection", "Te", "Upgrade":
		if key == "headers" {
			bad(key, fmt.Sprintf("%q: is the probe's own matter", name))
		}
	default:
		if !httpguts.ValidHeaderFieldName(name) {
			bad(key, fmt.Sprintf("%q: must be the name of a header", name))
		}
	}
}

func (c Config) validateMatches(bad func(key, msg string)) {
	validatePattern("body_match", c.BodyMatch, bad)
	for name, pattern := range c.HeaderMatch {
		validateHeader("header_match", name, bad)
		validatePattern("header_match", pattern, bad)
	}
	for path, pattern := range c.JSON {
		if _, err := parseJSONPath(path); err != nil {
			bad("json", err.Error())
		}
		validatePattern("json", pattern, bad)
	}
	if c.Method == http.MethodHead && (c.BodyMatch != "" || len(c.JSON) > 0) {
		bad("method", `"HEAD": is answered without a body, and body_match and json look at one`)
	}
}

func (c Config) validateHost(bad func(key, msg string)) {
	if c.Host == "" {
		return
	}
	host, port := splitHost(c.Host)
	if _, err := strconv.ParseUint(port, 10, 16); !validHost(host) || port != "" && err != nil {
		bad("host", fmt.Sprintf("%q: must be a host name or an address, and perhaps a port", c.Host))
	}
}

func (c Config) validateTLS(bad func(key, msg string)) {
	c.validateHost(bad)
	if c.SkipVerify && c.CA != "" {
		bad("skip_verify", "true: must not stand beside ca, since nothing would be verified against it")
	}
	if c.ExpiryWarning < 0 || c.ExpiryWarning > maxExpiry {
		bad("expiry_warning", fmt.Sprintf("%v: must be at most a year", c.ExpiryWarning))
	}
}

// unknownType says what is wrong with a type that is not in the table.
func unknownType(name string) string {
	var names []string
	near, best := "", 3 // a slip is two letters at most
	for _, k := range kinds {
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
