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
	// MaxUDPSize bounds UDP answers, in octets; default 1232 (DNS flag day 2020).
	MaxUDPSize int `toml:"max_udp_size"`
	// ECS false ignores EDNS Client Subnet (RFC 7871) as though it were unknown.
	ECS *bool `toml:"ecs"`
	// ECSFrom lists the resolvers whose client subnet counts; empty: all.
	ECSFrom []netip.Prefix `toml:"ecs_from"`
	// ECSMaxV4 and ECSMaxV6 bound the scope given back, in bits; default 24 and 56.
	ECSMaxV4 int `toml:"ecs_max_v4"`
	ECSMaxV6 int `toml:"ecs_max_v6"`

	TCPIdle      time.Duration `toml:"tcp_idle"`       // default 10s
	TCPMax       int           `toml:"tcp_max"`        // connections in all; default 1000
	TCPMaxClient int           `toml:"tcp_max_client"` // for one client address; default 100
}
