package dnsserver

import (
	"net/netip"
	"time"
)

// Config is [dns] of the configuration.
type Config struct {
	Listen  []string `toml:"listen"`  // host:port, UDP and TCP; "0.0.0.0:53", "[::]:53"
	Workers int      `toml:"workers"` // UDP sockets for each address; 0: one for each core
	// Batch is how many UDP queries are taken from the system in one call where
	// it can do that; 1: one at a time. Default 32.
	Batch int `toml:"batch"`
	// XDP names the interfaces whose driver is asked for queries (AF_XDP); empty:
	// none. The ordinary sockets take what is left.
	XDP []string `toml:"xdp"`
	// ReceiveBuffer and SendBuffer are asked of the system for each UDP socket,
	// in octets; default 4 MiB.
	ReceiveBuffer int `toml:"receive_buffer"`
	SendBuffer    int `toml:"send_buffer"`
	// BusyPoll is how long a UDP socket asks its network device for more before
	// it sleeps (SO_BUSY_POLL of Linux, in whole microseconds); 0: not at all.
	BusyPoll time.Duration `toml:"busy_poll"`
	// Pin keeps each worker on one CPU: "" or "off" does not, "auto" takes those
	// of the process in turn, "0-3,6" those CPUs.
	Pin string `toml:"pin"`
	// Spread is how queries are spread over workers: "hash" by the client's address
	// and port, "cpu" to the worker on the CPU that received them.
	Spread string `toml:"spread"`
	// MaxUDPSize bounds UDP answers, in octets; default 1232 (DNS flag day 2020).
	MaxUDPSize int `toml:"max_udp_size"`
	// ECS false ignores EDNS Client Subnet (RFC 7871) as though it were unknown.
	ECS *bool `toml:"ecs"`
	// ECSFrom lists the resolvers whose client subnet counts; empty: all.
	ECSFrom []netip.Prefix `toml:"ecs_from"`
	// ECSMaxV4 and ECSMaxV6 bound the scope given back, in bits; default 24 and 56.
	ECSMaxV4 int `toml:"ecs_max_v4"`
	ECSMaxV6 int `toml:"ecs_max_v6"`

	// Version and Identity are told to who asks for version.bind and id.server in
	// class CHAOS (RFC 4892), Identity by NSID (RFC 5001) too; "": neither.
	Version  string `toml:"version"`
	Identity string `toml:"identity"`

	// Cookies are DNS Cookies (RFC 7873): "on", "off", or "required" of clients over
	// UDP. CookieSecretFile has the secrets of the fleet, see ReadSecrets; "": random.
	Cookies          string `toml:"cookies"`
	CookieSecretFile string `toml:"cookie_secret_file"`

	// Allow and Deny are the networks of clients that are served, and that are not;
	// the longest that holds an address decides. Without Allow all others are served.
	Allow  []netip.Prefix `toml:"allow"`
	Deny   []netip.Prefix `toml:"deny"`
	Denied string         `toml:"denied"` // "refuse" or "drop"

	// RateLimit is how many times in a second a client network is given one answer
	// over UDP; 0: any. RateLimitWindow is how long it may save up,
	// RateLimitSlip that every so-manieth answer over the limit is sent truncated; 0: none.
	RateLimit       int            `toml:"rate_limit"`
	RateLimitWindow time.Duration  `toml:"rate_limit_window"`
	RateLimitSlip   *int           `toml:"rate_limit_slip"`
	RateLimitExempt []netip.Prefix `toml:"rate_limit_exempt"`

	// MaxAmplification bounds answers over UDP to clients without a good cookie, by
	// so many times the octets of the query; 0: not.
	MaxAmplification *int `toml:"max_amplification"`

	// CompactShare is the share of a core that may be spent on proofs of compact denial
	// (RFC 9824), which are signed for who asks; 0: none. Default 0.1.
	CompactShare *float64 `toml:"compact_share"`

	// TCPEngine is how TCP connections are served: "epoll" by event loops, as many
	// as Workers (Linux), "portable" by a goroutine for each; default "auto":
	// epoll where the system has it.
	TCPEngine    string        `toml:"tcp_engine"`
	TCPIdle      time.Duration `toml:"tcp_idle"`       // default 10s
	TCPMax       int           `toml:"tcp_max"`        // connections in all; default 1000
	TCPMaxClient int           `toml:"tcp_max_client"` // for one client address; default 100

	// ProxyFrom lists the front ends whose messages and connections begin with a
	// header of the PROXY protocol, version 2, that tells the client.
	ProxyFrom []netip.Prefix `toml:"proxy_from"`

	TLS   TLS   `toml:"tls"`
	HTTPS HTTPS `toml:"https"`
	QUIC  QUIC  `toml:"quic"`
}

// WithLive gives c with those keys of another that can change while a Server
// serves: what NewAccess goes by, and CookieSecretFile.
func (c Config) WithLive(from Config) Config {
	c.Allow, c.Deny, c.Denied, c.RateLimitExempt, c.ECSFrom = from.Allow, from.Deny, from.Denied, from.RateLimitExempt, from.ECSFrom
	c.CookieSecretFile = from.CookieSecretFile
	return c
}
