package balancer

import "time"

// Config is one [[frontend]] of the configuration.
type Config struct {
	Name    string         `toml:"name"`
	Site    string         `toml:"site"`   // the site this frontend serves; default: node.site
	Listen  []string       `toml:"listen"` // host:port
	Pick    string         `toml:"pick"`   // "round-robin" or "least-load" (default)
	Check   string         `toml:"check"`  // a [check.NAME]; empty: passive health only
	Servers []ServerConfig `toml:"server"`
	Spares  []ServerConfig `toml:"spare"`
	// MinServers is how many healthy servers the frontend wants in service: below
	// it spares are put in, and taken out again when it is met without them.
	// Default: the number of Servers.
	MinServers int `toml:"min_servers"`

	ConnectTimeout time.Duration `toml:"connect_timeout"` // default 2s
	IdleTimeout    time.Duration `toml:"idle_timeout"`    // no byte either way; default 5m
	DrainTimeout   time.Duration `toml:"drain_timeout"`   // default 30s
	// MaxConnections bounds the frontend; further ones wait in the accept queue. 0: no bound.
	MaxConnections int `toml:"max_connections"`
	// OverloadAt is the load of a server, as a share of its capacity, at which it
	// is isolated until it falls below 80 % of that. Default 1.2; 0 with no capacity stated.
	OverloadAt float64 `toml:"overload_at"`
}

// ServerConfig is one real server behind a frontend.
type ServerConfig struct {
	Address  string  `toml:"address"`  // host:port
	Weight   float64 `toml:"weight"`   // default 1
	Capacity float64 `toml:"capacity"` // connections it can take well; 0: not stated
}
