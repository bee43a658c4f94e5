package balancer

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"gslb/health/probe"
)

func good() Config {
	return Config{
		Name: "www", Site: "kt", Listen: []string{"192.0.2.10:443", "[2001:db8::10]:443", ":80"},
		Servers: []ServerConfig{{Address: "10.0.1.11:443"}, {Address: "web2.example:443"}},
		Spares:  []ServerConfig{{Address: "[2001:db8::13]:443", Weight: 0.5}},
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   []string // "key: part of the message"
	}{
		{"good", func(*Config) {}, nil},
		{"no name", func(c *Config) { c.Name = "" }, []string{"name: must be set"}},
		{"listen without port", func(c *Config) { c.Listen[1] = "192.0.2.10" }, []string{`listen[1]: "192.0.2.10": must be host:port`}},
		{"listen on a name", func(c *Config) { c.Listen[0] = "www:443" }, []string{`listen[0]: "www:443": the host must be an IP address`}},
		{"listen on a bad port", func(c *Config) { c.Listen[0] = "192.0.2.10:65536" }, []string{"listen[0]: 0 to 65535"}},
		{"listen twice", func(c *Config) { c.Listen[2] = c.Listen[0] }, []string{"listen[2]: stands already in listen[0]"}},
		{"listen on any port twice", func(c *Config) { c.Listen = []string{"127.0.0.1:0", "127.0.0.1:0"} }, nil},
		{"unknown hash", func(c *Config) { c.HashBy = "port" }, []string{`hash_by: "port": must be "address" or "connection"`}},
		{"unknown pick", func(c *Config) { c.Pick = "least-conn" }, []string{`pick: "least-conn": must be one of hash, latency, least-connections, least-load, maglev, round-robin, weighted`}},
		{"negative bound of a server", func(c *Config) { c.Servers[0].MaxConnections = -1 }, []string{"server[0].max_connections: -1: must be 0"}},
		{"negative queue", func(c *Config) { c.Queue, c.QueueTimeout = -1, 1 }, []string{"queue_timeout: 1ns", "queue: -1: must be a number"}},
		{"zone of no server", func(c *Config) { c.Servers[0].Zone, c.PreferZone = "a", "b" }, []string{`prefer_zone: "b": no server of this frontend has that zone`}},
		{"zone of a spare", func(c *Config) { c.Spares[0].Zone, c.PreferZone = "b", "b" }, nil},
		{"no server", func(c *Config) { c.Servers = nil }, []string{"server: at least one"}},
		{"server without port", func(c *Config) { c.Servers[1].Address = "10.0.1.12" }, []string{`server[1].address: "10.0.1.12": must be host:port`}},
		{"server without host", func(c *Config) { c.Servers[0].Address = ":443" }, []string{"server[0].address: must be host:port"}},
		{"server at port 0", func(c *Config) { c.Servers[0].Address = "10.0.1.11:0" }, []string{"server[0].address: 1 to 65535"}},
		{"server twice", func(c *Config) { c.Spares[0].Address = c.Servers[0].Address }, []string{"spare[0].address: stands already in server[0]"}},
		{"negative weight", func(c *Config) { c.Servers[0].Weight = -1 }, []string{"server[0].weight: -1: must be above 0"}},
		{"weight NaN", func(c *Config) { c.Spares[0].Weight = math.NaN() }, []string{"spare[0].weight: NaN"}},
		{"negative capacity", func(c *Config) { c.Servers[0].Capacity = -5 }, []string{"server[0].capacity: -5"}},
		{"capacity of some", func(c *Config) { c.Servers[0].Capacity = 5 }, []string{"server[1].capacity: must be stated", "spare[0].capacity: must be stated"}},
		{"short timeouts", func(c *Config) { c.ConnectTimeout, c.IdleTimeout = 2, -time.Second }, []string{"connect_timeout: 2ns: must be at least 10ms", "idle_timeout: -1s"}},
		{"more short timeouts", func(c *Config) { c.CloseTimeout, c.DrainTimeout, c.SlowStart, c.SpareHold = 1, 1, 1, 1 },
			[]string{"close_timeout: 1ns", "drain_timeout: 1ns", "slow_start: 1ns", "spare_hold: 1ns"}},
		{"reset without a check", func(c *Config) { c.OnIsolate, c.Check = ResetIsolated, "" }, []string{`on_isolate: "reset": needs a check`}},
		{"unknown order on isolation", func(c *Config) { c.OnIsolate = "cut" }, []string{`on_isolate: "cut": must be keep or reset`}},
		{"too many wanted", func(c *Config) { c.MinServers = 4 }, []string{"min_servers: 4: must be 0 (the number of servers) to 3"}},
		{"negative bound", func(c *Config) { c.MaxConnections = -1 }, []string{"max_connections: -1"}},
		{"overload without capacity", func(c *Config) { c.OverloadAt = 1.5 }, []string{"overload_at: 1.5: needs the capacity"}},
		{"bounds of networks", func(c *Config) {
			c.NetworkConnections, c.NetworkRate, c.NetworkBits4, c.NetworkBits6 = -1, 2_000_000, 33, 65
		},
			[]string{"network_connections: -1: must be 0 to", "network_rate: 2000000: must be 0 to 1000000", "network_bits4: 33", "network_bits6: 65"}},
		{"passive health", func(c *Config) {
			c.PassiveFailures, c.PassiveResets, c.MaxEjected, c.PanicBelow = -2, 1001, 1.5, math.NaN()
		},
			[]string{"passive_failures: -2: must be 1 to 1000, or -1", "passive_resets: 1001", "max_ejected: 1.5: must be a share", "panic_below: NaN"}},
		{"eject times the wrong way round", func(c *Config) { c.EjectTime, c.EjectTimeMost = time.Minute, time.Second }, []string{"eject_time_most: 1s: must be eject_time (1m0s) or more"}},
		{"slow clients", func(c *Config) { c.FirstByteTimeout, c.MinRate, c.MinRateTime = 5, -1, 5 }, []string{"min_rate: -1", "first_byte_timeout: 5ns", "min_rate_time: 5ns"}},
		{"log", func(c *Config) { c.LogConnections, c.ConnectionLogSize = 2, 10 }, []string{"log_connections: 2: must be a share", "connection_log_size: 10"}},
		{"log of nothing", func(c *Config) { c.ConnectionLog = "log.jsonl" }, []string{"connection_log: needs log_connections", "connection_log: must be a whole path"}},
		{"hooks", func(c *Config) {
			c.Clone, c.Repair, c.LowWatermark = HookConfig{Exec: []string{"clone"}, Secret: "x"}, HookConfig{Hold: 5, Retries: 11}, 2
		}, []string{"clone.exec: must be the absolute path", "clone.secret: signs", "repair: must have exec", "repair.hold: 5ns", "repair.retries: 11", "low_watermark: 2"}},
		{"hook with both", func(c *Config) { c.Clone = HookConfig{Exec: []string{"/bin/true"}, URL: "ftp://x"} }, []string{"clone: has exec and url"}},
		{"hook with a bad url", func(c *Config) { c.Clone = HookConfig{URL: "clones.example.net"} }, []string{"clone.url: must be a URL"}},
		{"negative overload", func(c *Config) { c.OverloadAt = -1 }, []string{"overload_at: -1: must be a share"}},
	} {
		for _, defaults := range []bool{false, true} {
			c := good()
			test.change(&c)
			if defaults {
				c = c.WithDefaults()
			}
			var got []string
			c.Validate(func(key, msg string) { got = append(got, key+": "+msg) })
			same := slices.EqualFunc(got, test.want, func(got, want string) bool {
				key, part, _ := strings.Cut(want, ": ")
				return strings.HasPrefix(got, key+": ") && strings.Contains(got, part)
			})
			if !same {
				t.Errorf("%s (defaults %v): %q, want %q", test.name, defaults, got, test.want)
			}
		}
	}
}

func TestWithDefaults(t *testing.T) {
	in := good()
	c := in.WithDefaults()
	if c.Pick != LeastLoad || c.MinServers != 2 || c.ConnectTimeout != 2*time.Second || c.IdleTimeout != 5*time.Minute ||
		c.CloseTimeout != time.Minute || c.DrainTimeout != 30*time.Second || c.SlowStart != 10*time.Second ||
		c.SpareHold != 10*time.Second || c.MaxConnections != 0 || c.OverloadAt != 0 {
		t.Errorf("defaults %+v", c)
	}
	if c.Servers[0].Weight != 1 || c.Spares[0].Weight != 0.5 || in.Servers[0].Weight != 0 {
		t.Error("weights: want 1 where none is stated, in the copy alone")
	}
	if got := c.WithDefaults(); fmt.Sprint(got) != fmt.Sprint(c) {
		t.Errorf("defaults of defaults differ: %+v", got)
	}
	in.Servers[0].Capacity, in.IdleTimeout = 5, time.Second
	if c := in.WithDefaults(); c.OverloadAt != 1.2 || c.CloseTimeout != time.Second {
		t.Errorf("overload_at %v, close_timeout %v, want 1.2 and 1s", c.OverloadAt, c.CloseTimeout)
	}
}

func TestNewNamesAllFaults(t *testing.T) {
	one, two, three := good(), good(), good()
	two.Check = "nope"
	three.Name, three.Pick, three.Check = "", "best", "unreadable"
	checks := map[string]probe.Config{"unreadable": {Type: "https", CA: "/nonexistent.pem"}}
	_, err := New([]Config{one, two, three}, checks, slog.New(slog.DiscardHandler), Options{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`frontend "www": "name": stands twice`, `frontend "www": "check": "nope": there is no [check.nope]`,
		`frontend number 3: "name": must be set`, `frontend number 3: "pick": "best"`, `"192.0.2.10:443": frontend "www" listens there`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	one.Check = "unreadable"
	_, err = New([]Config{one}, checks, slog.New(slog.DiscardHandler), Options{})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent.pem") {
		t.Errorf("a check that cannot be made: %v", err)
	}
}
