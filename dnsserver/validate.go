package dnsserver

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds and defaults of [dns].
const (
	defaultUDPSize = 1232 // DNS flag day 2020: fits the least IPv6 MTU unfragmented
	leastUDPSize   = 512  // what every client takes (RFC 1035, section 2.3.4)
	mostUDPSize    = 4096

	defaultECSMaxV4 = 24 // RFC 7871, section 11.1
	defaultECSMaxV6 = 56

	defaultTCPIdle      = 10 * time.Second // RFC 7766, section 6.2.3: in the order of seconds
	minTCPIdle          = time.Second
	maxTCPIdle          = time.Hour
	defaultTCPMax       = 1000
	defaultTCPMaxClient = 100
	defaultBatch        = 32
	maxBatch            = 1024
	maxInterface        = 15   // octets of an interface's name (IFNAMSIZ)
	maxWorkers          = 1024 // sockets for each address; more are a slip of the keyboard

	// Room for what comes while a worker is held up: some 5000 small queries.
	defaultBuffer = 4 << 20
	leastBuffer   = 64 << 10 // the largest datagram, or nearly
	mostBuffer    = 1 << 29
	mostBusyPoll  = 10 * time.Millisecond

	mostText       = 255 // octets of a character-string (RFC 1035, section 3.3)
	mostRate       = 1_000_000
	defaultSlip    = 2
	mostSlip       = 10
	defaultWindow  = 2 * time.Second
	leastWindow    = time.Second
	mostWindow     = time.Minute
	defaultAmplify = 30
	leastAmplify   = 5
	mostAmplify    = 100
)

// WithDefaults returns c with the defaults in place of zero values. Workers
// and RateLimit stay 0 and ECS is set to true.
func (c Config) WithDefaults() Config {
	if c.MaxUDPSize == 0 {
		c.MaxUDPSize = defaultUDPSize
	}
	if c.Batch == 0 {
		c.Batch = defaultBatch
	}
	if c.ReceiveBuffer == 0 {
		c.ReceiveBuffer = defaultBuffer
	}
	if c.SendBuffer == 0 {
		c.SendBuffer = defaultBuffer
	}
	if c.Pin == "" {
		c.Pin = pinOff
	}
	if c.Spread == "" {
		c.Spread = spreadHash
	}
	if c.ECS == nil {
		yes := true
		c.ECS = &yes
	}
	if c.ECSMaxV4 == 0 {
		c.ECSMaxV4 = defaultECSMaxV4
	}
	if c.ECSMaxV6 == 0 {
		c.ECSMaxV6 = defaultECSMaxV6
	}
	c = c.withProtection()
	if c.TCPEngine == "" {
		c.TCPEngine = engineAuto
	}
	if c.TCPIdle == 0 {
		c.TCPIdle = defaultTCPIdle
	}
	if c.TCPMax == 0 {
		c.TCPMax = defaultTCPMax
	}
	if c.TCPMaxClient == 0 {
		c.TCPMaxClient = min(defaultTCPMaxClient, c.TCPMax)
	}
	return c
}

func (c Config) withProtection() Config {
	if c.Cookies == "" {
		c.Cookies = cookiesOn
	}
	if c.Denied == "" {
		c.Denied = deniedRefuse
	}
	if c.RateLimitWindow == 0 {
		c.RateLimitWindow = defaultWindow
	}
	if c.RateLimitSlip == nil {
		c.RateLimitSlip = new(defaultSlip)
	}
	if c.MaxAmplification == nil {
		c.MaxAmplification = new(defaultAmplify)
	}
	if c.CompactShare == nil {
		c.CompactShare = new(defaultShare)
	}
	return c
}

// Validate calls bad once for each fault, with the key it is in.
func (c Config) Validate(bad func(key, msg string)) {
	c = c.WithDefaults()
	if len(c.Listen) == 0 {
		bad("listen", `missing: must list at least one address, such as ["0.0.0.0:53", "[::]:53"]`)
	}
	for i, l := range c.Listen {
		if msg := listenFault(l, "53"); msg != "" {
			bad(fmt.Sprintf("listen[%d]", i), msg)
		}
	}
	for i, name := range c.XDP {
		if msg := interfaceFault(name, c.XDP[:i]); msg != "" {
			bad(fmt.Sprintf("xdp[%d]", i), msg)
		}
	}
	within := func(key string, n, low, high int) {
		if n < low || n > high {
			bad(key, fmt.Sprintf("%d: must be %d to %d", n, low, high))
		}
	}
	within("workers", c.Workers, 0, maxWorkers)
	within("batch", c.Batch, 1, maxBatch)
	within("receive_buffer", c.ReceiveBuffer, leastBuffer, mostBuffer)
	within("send_buffer", c.SendBuffer, leastBuffer, mostBuffer)
	if c.BusyPoll < 0 || c.BusyPoll > mostBusyPoll || c.BusyPoll%time.Microsecond != 0 {
		bad("busy_poll", fmt.Sprintf("%v: must be whole microseconds, 0s to %v", c.BusyPoll, mostBusyPoll))
	}
	if _, err := parseCPUs(c.Pin); err != nil {
		bad("pin", err.Error())
	}
	if msg := c.spreadFault(); msg != "" {
		bad("spread", msg)
	}
	within("max_udp_size", c.MaxUDPSize, leastUDPSize, mostUDPSize)
	within("ecs_max_v4", c.ECSMaxV4, 1, 32)
	within("ecs_max_v6", c.ECSMaxV6, 1, 128)
	c.validateProtection(bad, within)
	c.TLS.validate(bad)
	c.HTTPS.validate(bad)
	c.QUIC.validate(bad)
	switch c.TCPEngine {
	case engineAuto, enginePortable:
	case engineEpoll:
		if !canEpoll {
			bad("tcp_engine", `"epoll": needs Linux; "auto" takes it where it is there`)
		}
	default:
		bad("tcp_engine", fmt.Sprintf(`%q: must be "auto", "epoll" or "portable"`, c.TCPEngine))
	}
	if c.TCPIdle < minTCPIdle || c.TCPIdle > maxTCPIdle {
		bad("tcp_idle", fmt.Sprintf("%v: must be 1s to 1h", c.TCPIdle))
	}
	if c.TCPMax < 1 {
		bad("tcp_max", fmt.Sprintf("%d: must be at least 1", c.TCPMax))
	}
	if c.TCPMaxClient < 1 || c.TCPMaxClient > max(1, c.TCPMax) {
		bad("tcp_max_client", fmt.Sprintf("%d: must be 1 to tcp_max, %d", c.TCPMaxClient, c.TCPMax))
	}
}

func (c Config) validateProtection(bad func(key, msg string), within func(key string, n, low, high int)) {
	for _, t := range []struct{ key, text string }{{"version", c.Version}, {"identity", c.Identity}} {
		if len(t.text) > mostText {
			bad(t.key, fmt.Sprintf("%d octets: must be at most %d", len(t.text), mostText))
		}
	}
	oneOf := func(key, word string, known ...string) {
		if !slices.Contains(known, word) {
			bad(key, fmt.Sprintf(`%q: must be one of "%s"`, word, strings.Join(known, `", "`)))
		}
	}
	oneOf("cookies", c.Cookies, cookiesOff, cookiesOn, cookiesRequired)
	if c.CookieSecretFile != "" && c.Cookies == cookiesOff {
		bad("cookie_secret_file", `cannot be used with cookies = "off": remove one of them`)
	}
	oneOf("denied", c.Denied, deniedRefuse, deniedDrop)
	within("rate_limit", c.RateLimit, 0, mostRate)
	within("rate_limit_slip", *c.RateLimitSlip, 0, mostSlip)
	if c.RateLimitWindow < leastWindow || c.RateLimitWindow > mostWindow {
		bad("rate_limit_window", fmt.Sprintf("%v: must be 1s to 1m", c.RateLimitWindow))
	}
	if n := *c.MaxAmplification; n != 0 && (n < leastAmplify || n > mostAmplify) {
		bad("max_amplification", fmt.Sprintf("%d: must be %d to %d, or 0 for no bound", n, leastAmplify, mostAmplify))
	}
	if n := *c.CompactShare; !(n >= 0 && n <= mostShare) {
		bad("compact_share", fmt.Sprintf("%v: must be 0 to %d, in cores", n, mostShare))
	}
	if c.Allow != nil && len(c.Allow) == 0 {
		bad("allow", "empty: leave it out to answer all clients, or list those that are to be answered")
	}
	for _, l := range []struct {
		key  string
		list []netip.Prefix
	}{{"ecs_from", c.ECSFrom}, {"allow", c.Allow}, {"deny", c.Deny}, {"rate_limit_exempt", c.RateLimitExempt}, {"proxy_from", c.ProxyFrom}} {
		for i, p := range l.list {
			switch {
			case !p.IsValid():
			case p != p.Masked():
				bad(fmt.Sprintf("%s[%d]", l.key, i), fmt.Sprintf("%q: has bits set beyond its length; the network is %q", p, p.Masked()))
			case l.key == "deny" && slices.Contains(c.Allow, p):
				bad(fmt.Sprintf("deny[%d]", i), fmt.Sprintf("%q: stands in allow too", p))
			}
		}
	}
}

// interfaceFault tells what is wrong with the name of an interface, given those
// before it; "" for nothing. Whether it is there can change and is not asked.
func interfaceFault(name string, before []string) string {
	switch {
	case name == "" || len(name) > maxInterface || strings.ContainsAny(name, "/ \t:") || name == "." || name == "..":
		return fmt.Sprintf("%q: must be the name of a network interface, such as \"eth0\"", name)
	case name == "lo":
		return "\"lo\": AF_XDP does not work on the loopback interface"
	case slices.Contains(before, name):
		return fmt.Sprintf("%q: stands there twice", name)
	}
	return ""
}

// listenFault tells what is wrong with an address to listen on; "" for nothing.
// usual is the port of the examples. Names are refused: a server must not need DNS to start.
func listenFault(s, usual string) string {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		if _, err := netip.ParseAddr(s); err == nil {
			return fmt.Sprintf("%q: must have a port, such as %q", s, net.JoinHostPort(s, usual))
		}
		return fmt.Sprintf(`%q: must be address:port, such as "0.0.0.0:%s" or "[::]:%s"`, s, usual, usual)
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return fmt.Sprintf(`%q: %q must be an IP address, such as 0.0.0.0 or [::]`, s, host)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Sprintf("%q: port must be a number from 0 to 65535", s)
	}
	return ""
}
