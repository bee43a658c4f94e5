package balancer

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is one [[frontend]] of the configuration.
type Config struct {
	Name   string   `toml:"name"`
	Site   string   `toml:"site"`   // the site this frontend serves; default: node.site
	Listen []string `toml:"listen"` // host:port; 0.0.0.0 is all of IPv4, [::] all of IPv6, no host both
	// Freebind has the frontend listen at addresses that this machine does not have yet:
	// a virtual address that another balancer holds (Linux).
	Freebind bool `toml:"freebind"`
	// Announce has the addresses of Listen announced by BGP while the frontend is ready.
	Announce bool `toml:"announce"`
	// ReadyServers is how many servers must take connections for the frontend to be ready
	// (Readiness); default 1.
	ReadyServers int `toml:"ready_servers"`
	// Protocol is the transport: TCP (default) or UDP. Plane is what carries the
	// connections, one of Planes(): default "proxy".
	Protocol string `toml:"protocol"`
	Plane    string `toml:"plane"`
	// Engine is how the proxy plane moves bytes, one of Engines(): "epoll" (default on
	// Linux), event loops; or "portable", goroutines.
	Engine string `toml:"engine"`
	// Threads is how many event loops take connections of the frontend; default: as
	// many as there are cores. A change counts for addresses that are listened at anew.
	Threads int `toml:"threads"`
	// Mode is how the plane "dsr" is done: "xdp", "tcx" or "nft". Default "auto":
	// the first of these that the machine can do.
	Mode string `toml:"mode"`
	// Interfaces are where clients' packets come in, for the plane "dsr". Default:
	// those that have a virtual address or a route to a server.
	Interfaces []string `toml:"interfaces"`
	// Tunnel is how packets of the plane "dsr" get to servers: TunnelNone (default),
	// TunnelIPIP or TunnelGUE, to the UDP port TunnelPort (default 6080).
	Tunnel     string `toml:"tunnel"`
	TunnelPort int    `toml:"tunnel_port"`
	// KeepForwarding leaves what the plane "dsr" has put in the kernel there when gslb
	// ends, for the next one to take over.
	KeepForwarding bool `toml:"keep_forwarding"`
	// SNAT is from which address servers see connections of the plane "nat" come: empty
	// for the client's own (their answers must be routed by this machine), "masquerade"
	// for that of the interface by which packets leave, or an address.
	SNAT string `toml:"snat"`
	// EnableForwarding has the plane "nat" switch on the forwarding of packets
	// (sysctl net.ipv4.ip_forward, net.ipv6.conf.all.forwarding) where that is off.
	EnableForwarding bool   `toml:"enable_forwarding"`
	Pick             string `toml:"pick"` // one of Picks(); default "least-load", of plane "dsr" "maglev"
	// HashBy is what the picks "maglev" and "hash" go by: the client's "address"
	// (default), or the "connection": both ends with their ports (default of plane "dsr").
	HashBy string `toml:"hash_by"`
	// HashKey makes these picks, and the plane "dsr", unguessable: all balancers of a
	// virtual address have the same. Default: none.
	HashKey string         `toml:"hash_key"`
	Check   string         `toml:"check"` // a [check.NAME], made at each server's own address and port; empty: passive health only
	Servers []ServerConfig `toml:"server"`
	Spares  []ServerConfig `toml:"spare"`
	// MinServers is how many healthy servers the frontend wants in service: below
	// it spares are put in, and taken out again when it is met without them.
	// Default: the number of Servers.
	MinServers int `toml:"min_servers"`

	ConnectTimeout time.Duration `toml:"connect_timeout"` // default 2s
	IdleTimeout    time.Duration `toml:"idle_timeout"`    // no byte either way; default 5m
	// CloseTimeout takes the place of IdleTimeout once one end has finished
	// sending (a half-closed connection). Default: 1m, or IdleTimeout if that is less.
	CloseTimeout time.Duration `toml:"close_timeout"`
	DrainTimeout time.Duration `toml:"drain_timeout"` // default 30s
	// OnIsolate is what becomes of the open connections of a server whose check
	// fails: "keep" (default) leaves them alone, as the check may be wrong;
	// "reset" resets them 2 s later, unless no server is available.
	OnIsolate string `toml:"on_isolate"`
	// SlowStart is the time over which a server that comes back gets its share of
	// new connections again, linearly. Default 10s.
	SlowStart time.Duration `toml:"slow_start"`
	// SpareHold is how long the servers must have been enough without a spare
	// until it is taken out again. Default 10s.
	SpareHold time.Duration `toml:"spare_hold"`
	// MaxConnections bounds the frontend; further ones wait in the accept queue. 0: no bound.
	MaxConnections int `toml:"max_connections"`
	// Responses ends a session of UDP with so many answers, 1 for DNS; 0: only time does.
	Responses int `toml:"responses"`
	// Queue is how many clients may wait while all servers have as many connections as
	// they may (ServerConfig.MaxConnections); default 1000. QueueTimeout is how
	// long each waits, then it is reset; default 5s.
	Queue        int           `toml:"queue"`
	QueueTimeout time.Duration `toml:"queue_timeout"`
	// PreferZone has servers of that zone take all connections that they can: the
	// others get some while none of it is available, or all of it have no room.
	PreferZone string `toml:"prefer_zone"`
	// OverloadAt is the load of a server, as a share of its capacity, at which it
	// is isolated until it falls below 80 % of that. Default 1.2; 0 with no capacity stated.
	OverloadAt float64 `toml:"overload_at"`

	// PassiveFailures is how many connects in a row must fail, PassiveResets how many
	// connections in a row a server must reset before its first byte, for it to be isolated; defaults
	// 2 and 5, -1: never. MaxEjected is the share of the servers and spares that may be
	// isolated by that and by overload at once; default 0.5, always at least one is left.
	// In planes in the kernel the connects are the balancer's own (doubt.go), of TCP alone.
	PassiveFailures int     `toml:"passive_failures"`
	PassiveResets   int     `toml:"passive_resets"`
	MaxEjected      float64 `toml:"max_ejected"`
	// EjectTime is how long a server is isolated by them at first; it doubles each
	// time, up to EjectTimeMost. Defaults: 1s and 30s.
	EjectTime     time.Duration `toml:"eject_time"`
	EjectTimeMost time.Duration `toml:"eject_time_most"`
	// PanicBelow is the share of the servers that must be available for their
	// health to be believed: below it all are used. Default 0: only when none is.
	PanicBelow float64 `toml:"panic_below"`

	// SendProxy has each connection to a server begin with a header of the PROXY
	// protocol, ProxyV1 or ProxyV2, that tells it of the client; empty: none.
	SendProxy string `toml:"send_proxy"`

	// ProxyFrom are front ends: their connections begin with a header of the PROXY
	// protocol, of either version, and count as those of the client that it names.
	ProxyFrom []netip.Prefix `toml:"proxy_from"`
	// Routes send TLS connections to other frontends' servers, by what their ClientHello
	// says. What no route takes is for Servers, if there are any, or reset. NotTLS says
	// the same of what is not TLS: NotTLSOwn (default, if there are Servers) or NotTLSReset.
	Routes []RouteConfig `toml:"route"`
	NotTLS string        `toml:"not_tls"`
	// PreambleTimeout is how long a client has for what must be known of it before a
	// server is picked; default 3s.
	PreambleTimeout time.Duration `toml:"preamble_timeout"`

	// Transparent has servers see the client's address as the connection's (Linux; it
	// needs CAP_NET_ADMIN, and answers must be routed by this machine). A server of the
	// other family than the client's sees this machine's.
	Transparent bool `toml:"transparent"`
	// FastOpen takes data with a client's SYN (TCP Fast Open, Linux).
	FastOpen bool `toml:"fast_open"`
	// KeepaliveIdle is after how much silence an end is asked whether it is there, then
	// every KeepaliveInterval, KeepaliveCount times in vain until it is given up. Whole
	// seconds; defaults 30s, 15s and 4.
	KeepaliveIdle     time.Duration `toml:"keepalive_idle"`
	KeepaliveInterval time.Duration `toml:"keepalive_interval"`
	KeepaliveCount    int           `toml:"keepalive_count"`

	// FirstByteTimeout is how long a client may say nothing at first, where clients speak first;
	// 0: as long as IdleTimeout. DeferAccept has the kernel hand over a connection
	// only with the client's first byte (Linux), likewise.
	FirstByteTimeout time.Duration `toml:"first_byte_timeout"`
	DeferAccept      bool          `toml:"defer_accept"`
	// MinRate is how many bytes a second a connection has to move while it moves any;
	// one that does not for MinRateTime (default 30s) is reset. 0: any rate.
	MinRate     int           `toml:"min_rate"`
	MinRateTime time.Duration `toml:"min_rate_time"`

	// LogConnections is the share of the connections that is logged when they end, 0 to 1;
	// ConnectionLog is the file for it; empty: the node's log. At ConnectionLogSize bytes
	// (default 100 MB) it becomes FILE.1, in place of that of before.
	LogConnections    float64 `toml:"log_connections"`
	ConnectionLog     string  `toml:"connection_log"`
	ConnectionLogSize int64   `toml:"connection_log_size"`

	// Clone is asked for another server while less than LowWatermark (default 0.75) of
	// the configured servers' capacity is healthy, Repair for the repair of one that is isolated.
	LowWatermark float64    `toml:"low_watermark"`
	Clone        HookConfig `toml:"clone"`
	Repair       HookConfig `toml:"repair"`

	// Allow and Deny are the clients that may connect; the longest network of
	// both decides. Default: all, or with an Allow nobody else.
	Allow []netip.Prefix `toml:"allow"`
	Deny  []netip.Prefix `toml:"deny"`
	// NetworkConnections is how many connections one client network may have at
	// once, NetworkRate how many new ones a second, of which it may save up two
	// seconds' worth; 0: no bound. Who is over is reset at once.
	NetworkConnections int `toml:"network_connections"`
	NetworkRate        int `toml:"network_rate"`
	// NetworkBits4 and NetworkBits6 are how many bits of a client's address are its
	// network; default 24 and 56. NetworkExempt is who is not limited.
	NetworkBits4  int            `toml:"network_bits4"`
	NetworkBits6  int            `toml:"network_bits6"`
	NetworkExempt []netip.Prefix `toml:"network_exempt"`
}

// ServerConfig is one real server behind a frontend.
type ServerConfig struct {
	Address  string  `toml:"address"`  // host:port
	Weight   float64 `toml:"weight"`   // default 1
	Capacity float64 `toml:"capacity"` // connections it can take well; 0: not stated
	// MaxConnections is how many it may have at once; further clients go to others, or
	// wait. 0: no bound.
	MaxConnections int    `toml:"max_connections"`
	Zone           string `toml:"zone"` // where it is, for PreferZone

	Registered bool `toml:"-"` // by Register, not by the configuration
}

// What HashBy may be.
const (
	HashAddress    = "address"
	HashConnection = "connection"
)

// What OnIsolate may be.
const (
	KeepIsolated  = "keep"
	ResetIsolated = "reset"
)

// minTimeout is the shortest time-out that is not surely a mistake (a bare
// number in TOML is nanoseconds).
const minTimeout = 10 * time.Millisecond

// WithDefaults returns c with the defaults in place of zero values. The lists
// are copied: the result shares no memory with c.
func (c Config) WithDefaults() Config {
	c.Listen = slices.Clone(c.Listen)
	c.Allow, c.Deny, c.NetworkExempt = slices.Clone(c.Allow), slices.Clone(c.Deny), slices.Clone(c.NetworkExempt)
	c.Interfaces, c.ProxyFrom = slices.Clone(c.Interfaces), slices.Clone(c.ProxyFrom)
	c.Routes = slices.Clone(c.Routes)
	c.Servers = withWeights(c.Servers)
	c.Spares = withWeights(c.Spares)
	setDefault(&c.Protocol, TCP)
	setDefault(&c.Plane, PlaneProxy)
	if c.Plane == PlaneProxy {
		setDefault(&c.Engine, Engines()[0])
	}
	if c.Plane == PlaneDSR { // balancers that share an address have nothing else in common
		setDefault(&c.Pick, Maglev)
		setDefault(&c.HashBy, HashConnection)
	}
	setDefault(&c.Pick, LeastLoad)
	setDefault(&c.HashBy, HashAddress)
	setDefault(&c.MinServers, len(c.Servers))
	setDefault(&c.ReadyServers, 1)
	switch {
	case c.Plane == PlaneNAT: // has the kernel's
	case c.Protocol == UDP:
		setDefault(&c.IdleTimeout, time.Minute)
	default:
		setDefault(&c.IdleTimeout, 5*time.Minute)
		setDefault(&c.CloseTimeout, max(minTimeout, min(time.Minute, c.IdleTimeout)))
	}
	setDefault(&c.DrainTimeout, 30*time.Second)
	setDefault(&c.OnIsolate, KeepIsolated)
	setDefault(&c.SlowStart, 10*time.Second)
	setDefault(&c.SpareHold, 10*time.Second)
	if c.inKernel() {
		setDefault(&c.Mode, ModeAuto)
	} else if c.Protocol == TCP { // nobody else waits for anything
		setDefault(&c.ConnectTimeout, 2*time.Second)
		setDefault(&c.Queue, 1000)
		setDefault(&c.QueueTimeout, 5*time.Second)
		setDefault(&c.PreambleTimeout, preambleTime)
		setDefault(&c.KeepaliveIdle, 30*time.Second)
		setDefault(&c.KeepaliveInterval, 15*time.Second)
		setDefault(&c.KeepaliveCount, 4)
	}
	if c.statesCapacity() {
		setDefault(&c.OverloadAt, 1.2)
	}
	setDefault(&c.LowWatermark, 0.75)
	c.Clone.withDefaults()
	c.Repair.withDefaults()
	if !c.inKernel() || c.Protocol == TCP {
		setDefault(&c.PassiveFailures, 2)
	}
	if !c.inKernel() { // which does not tell of them
		setDefault(&c.PassiveResets, 5)
	}
	setDefault(&c.MaxEjected, 0.5)
	setDefault(&c.EjectTime, time.Second)
	setDefault(&c.EjectTimeMost, max(30*time.Second, c.EjectTime))
	setDefault(&c.MinRateTime, 30*time.Second)
	setDefault(&c.ConnectionLogSize, 100_000_000)
	setDefault(&c.NetworkBits4, 24)
	setDefault(&c.NetworkBits6, 56)
	return c
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func withWeights(in []ServerConfig) []ServerConfig {
	out := slices.Clone(in)
	for i := range out {
		setDefault(&out[i].Weight, 1)
	}
	return out
}

// statesCapacity tells whether any server or spare states a capacity.
func (c Config) statesCapacity() bool {
	stated := func(s ServerConfig) bool { return s.Capacity > 0 }
	return slices.ContainsFunc(c.Servers, stated) || slices.ContainsFunc(c.Spares, stated)
}

// Validate calls bad once for each fault in c, with the key (relative to the
// frontend's table; indexes count from 0) and what would be right. Zero values
// are defaults, not faults, so it may be called before or after WithDefaults.
func (c Config) Validate(bad func(key, msg string)) {
	if c.Name == "" {
		bad("name", "must be set: the frontend's name in logs, reports and commands")
	}
	c.validateListen(bad)
	c.validateVirtual(bad)
	c.validatePlane(bad)
	c.validateSendProxy(bad)
	c.validatePreamble(bad)
	if _, known := pickers[c.Pick]; c.Pick != "" && !known {
		bad("pick", fmt.Sprintf("%q: must be one of %s", c.Pick, strings.Join(Picks(), ", ")))
	}
	switch c.HashBy {
	case "", HashAddress, HashConnection:
	default:
		bad("hash_by", fmt.Sprintf(`%q: must be "address" or "connection"`, c.HashBy))
	}
	c.validateServers(bad)
	c.validateAdmission(bad)
	c.validatePassive(bad)
	c.validateLog(bad)
	c.validateHooks(bad)
	for _, t := range []struct {
		key   string
		value time.Duration
	}{
		{"connect_timeout", c.ConnectTimeout}, {"idle_timeout", c.IdleTimeout}, {"close_timeout", c.CloseTimeout},
		{"drain_timeout", c.DrainTimeout}, {"slow_start", c.SlowStart}, {"spare_hold", c.SpareHold}, {"queue_timeout", c.QueueTimeout},
		{"eject_time", c.EjectTime}, {"eject_time_most", c.EjectTimeMost}, {"first_byte_timeout", c.FirstByteTimeout}, {"min_rate_time", c.MinRateTime},
		{"preamble_timeout", c.PreambleTimeout},
	} {
		if t.value != 0 && t.value < minTimeout {
			bad(t.key, fmt.Sprintf("%v: must be at least %v", t.value, minTimeout))
		}
	}
	if most := len(c.Servers) + len(c.Spares); c.MinServers < 0 || c.MinServers > most {
		bad("min_servers", fmt.Sprintf("%d: must be 0 (the number of servers) to %d (servers and spares together)", c.MinServers, most))
	}
	switch c.OnIsolate {
	case "", KeepIsolated, ResetIsolated:
	default:
		bad("on_isolate", fmt.Sprintf("%q: must be %s or %s", c.OnIsolate, KeepIsolated, ResetIsolated))
	}
	if c.OnIsolate == ResetIsolated && c.Check == "" {
		bad("on_isolate", `"reset": needs a check, which tells that a server is down`)
	}
	if c.MaxConnections < 0 {
		bad("max_connections", fmt.Sprintf("%d: must be 0 (no bound) or more", c.MaxConnections))
	}
	if c.Queue < 0 {
		bad("queue", fmt.Sprintf("%d: must be a number of clients above 0", c.Queue))
	}
	zoned := func(s ServerConfig) bool { return s.Zone == c.PreferZone }
	if c.PreferZone != "" && !slices.ContainsFunc(c.Servers, zoned) && !slices.ContainsFunc(c.Spares, zoned) {
		bad("prefer_zone", fmt.Sprintf("%q: no server of this frontend has that zone", c.PreferZone))
	}
	switch {
	case c.OverloadAt == 0:
	case !(c.OverloadAt > 0) || math.IsInf(c.OverloadAt, 0): // the first also catches NaN
		bad("overload_at", fmt.Sprintf("%v: must be a share of the capacity above 0, such as 1.2", c.OverloadAt))
	case !c.statesCapacity():
		bad("overload_at", fmt.Sprintf("%v: needs the capacity of each server", c.OverloadAt))
	}
}

func (c Config) validateListen(bad func(key, msg string)) {
	for i, address := range c.Listen {
		key := fmt.Sprintf("listen[%d]", i)
		if msg := badListen(address); msg != "" {
			bad(key, msg)
		} else if first := slices.Index(c.Listen, address); first < i && !anyPort(address) {
			bad(key, fmt.Sprintf("%q: stands already in listen[%d]", address, first))
		}
	}
}

// validateServers checks the servers and spares, as one list as well: an
// address may stand once, and capacity is stated for all or for none, because
// a load over the capacity of some servers only would mean nothing.
func (c Config) validateServers(bad func(key, msg string)) {
	if len(c.Servers) == 0 && len(c.Routes) == 0 {
		bad("server", "must have at least one [[frontend.server]]")
	}
	stated, seen := c.statesCapacity(), map[string]string{}
	check := func(list string, servers []ServerConfig) {
		for i, s := range servers {
			at := fmt.Sprintf("%s[%d]", list, i)
			if msg := badServer(s.Address); msg != "" {
				bad(at+".address", msg)
			} else if first, ok := seen[s.Address]; ok {
				bad(at+".address", fmt.Sprintf("%q: stands already in %s", s.Address, first))
			} else {
				seen[s.Address] = at
			}
			if s.MaxConnections < 0 {
				bad(at+".max_connections", fmt.Sprintf("%d: must be 0 (no bound) or more", s.MaxConnections))
			}
			if s.Weight < 0 || math.IsNaN(s.Weight) || math.IsInf(s.Weight, 0) {
				bad(at+".weight", fmt.Sprintf("%v: must be above 0 (default 1)", s.Weight))
			}
			switch {
			case s.Capacity < 0 || math.IsNaN(s.Capacity) || math.IsInf(s.Capacity, 0):
				bad(at+".capacity", fmt.Sprintf("%v: must be a number of connections, or 0 (not stated)", s.Capacity))
			case s.Capacity == 0 && stated:
				bad(at+".capacity", "must be stated, because other servers of this frontend state theirs")
			}
		}
	}
	check("server", c.Servers)
	check("spare", c.Spares)
}

// badListen returns what is wrong with a listen address, or "". Port 0 lets the
// system choose one.
func badListen(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Sprintf(`%q: must be host:port, such as "192.0.2.10:443" or "[2001:db8::10]:443"`, address)
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		return fmt.Sprintf("%q: the host must be an IP address, or empty for all", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Sprintf("%q: the port must be 0 to 65535", address)
	}
	return ""
}

// badServer returns what is wrong with a server's address, or "".
func badServer(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Sprintf(`%q: must be host:port, such as "10.0.1.11:443"`, address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Sprintf("%q: the port must be 1 to 65535", address)
	}
	return ""
}

// anyPort tells whether a valid listen address leaves the port to the system,
// so that it may stand more than once.
func anyPort(address string) bool {
	_, port, _ := net.SplitHostPort(address)
	return strings.Trim(port, "0") == ""
}
