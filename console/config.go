package console

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// DefaultListen is where the console listens when nothing else is configured:
// loopback, so that nobody needs a token to look at a new installation.
const DefaultListen = "127.0.0.1:8053"

// minToken is the least length of a token, in characters. A shorter one can be guessed.
const minToken = 16

// Config is [api] of the configuration: the HTTP API, metrics and web console.
type Config struct {
	Listen string `toml:"listen"` // host:port; default "127.0.0.1:8053"; "off" turns it off
	// Token must be sent as "Authorization: Bearer …" with every request that
	// changes something. Required when Listen is not a loopback address.
	Token string `toml:"token"`
	// Hosts are the DNS names under which the console is asked for, in a URL or
	// by a proxy. IP addresses, localhost and the host of Listen always work;
	// any other name is refused, since a hostile page can make its own name
	// point here (DNS rebinding).
	Hosts []string `toml:"hosts"`
}

// WithDefaults returns c with the defaults in place of zero values.
func (c Config) WithDefaults() Config {
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	return c
}

// Off tells whether the console is turned off.
func (c Config) Off() bool { return c.Listen == "off" }

// URL is where others find the console: by the first of Hosts, or by Listen where that
// names an address; "": that cannot be told.
func (c Config) URL() string {
	c = c.WithDefaults()
	host, port, err := net.SplitHostPort(c.Listen)
	if c.Off() || err != nil || port == "0" {
		return ""
	}
	if len(c.Hosts) > 0 {
		host = strings.TrimSuffix(c.Hosts[0], ".")
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		return ""
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

// Validate calls bad once for each fault, with the key it is in.
func (c Config) Validate(bad func(key, msg string)) {
	c = c.WithDefaults()
	if c.Token != "" && len(c.Token) < minToken {
		bad("token", fmt.Sprintf("%d characters: must be at least %d", len(c.Token), minToken))
	}
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		bad("token", "has a space or a character that an HTTP header can't carry: must be printable ASCII")
	}
	for i, h := range c.Hosts {
		if !validHost(h) {
			bad(fmt.Sprintf("hosts[%d]", i), fmt.Sprintf("%q: must be a DNS name without port or path", h))
		}
	}
	if c.Off() {
		return
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		bad("listen", fmt.Sprintf("%q: must be host:port, such as %q, or \"off\"", c.Listen, DefaultListen))
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		bad("listen", fmt.Sprintf("%q: port must be a number from 0 to 65535", c.Listen))
	}
	if !isLoopback(host) && c.Token == "" {
		bad("token", fmt.Sprintf("missing: must be set since listen %q isn't a loopback address", c.Listen))
	}
}

// isLoopback tells whether only this machine can connect to host.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// validHost tells whether h is a DNS name as it stands in a Host header.
func validHost(h string) bool {
	if h == "" || strings.ContainsAny(h, ":/ @*\\\"") {
		return false
	}
	_, ok := dns.IsDomainName(h)
	return ok
}
