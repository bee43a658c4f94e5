package balancer

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// What a plane in the kernel cannot honour is an error, before and after the defaults.
func TestConfigOfKernelPlanes(t *testing.T) {
	good := func() Config {
		return Config{Name: "www", Plane: PlaneNAT, Listen: []string{"192.0.2.10:80"}, Servers: []ServerConfig{{Address: "10.0.0.1:80"}, {Address: "10.0.0.2:80"}}}
	}
	dsr := func(c *Config) { c.Plane = PlaneDSR }
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   string // in the one fault; "": none
	}{
		{"nat", func(*Config) {}, ""},
		{"dsr", dsr, ""},
		{"udp", func(c *Config) { c.Protocol = UDP }, ""},
		{"udp by proxy", func(c *Config) { c.Plane, c.Protocol = PlaneProxy, UDP }, ""},
		{"both families", func(c *Config) {
			c.Listen = append(c.Listen, "[2001:db8::10]:80")
			c.Servers = append(c.Servers, ServerConfig{Address: "[2001:db8::1]:80"})
		}, ""},
		{"no IPv6 server", func(c *Config) { c.Listen = append(c.Listen, "[2001:db8::10]:80") }, "listen: is IPv6, too"},
		{"everywhere", func(c *Config) { c.Listen = []string{"0.0.0.0:80"} }, ""},
		{"everywhere, dsr", func(c *Config) { dsr(c); c.Listen = []string{"0.0.0.0:80"} }, "listen[0]: "},
		{"no port", func(c *Config) { c.Listen = []string{"192.0.2.10:0"} }, "listen[0]: "},
		{"loopback", func(c *Config) { c.Listen = []string{"127.0.0.1:80"} }, "listen[0]: "},
		{"a name", func(c *Config) { c.Servers[1].Address = "www.internal:80" }, "server[1].address: "},
		{"loopback server", func(c *Config) { c.Servers[1].Address = "127.0.0.1:80" }, "server[1].address: "},
		{"another port", func(c *Config) { c.Servers[1].Address = "10.0.0.2:8080" }, ""},
		{"another port, dsr", func(c *Config) { dsr(c); c.Servers[1].Address = "10.0.0.2:8080" }, "server[1].address: "},
		{"least-connections", func(c *Config) { c.Pick = LeastConnections }, "pick: "},
		{"latency", func(c *Config) { c.Pick = Latency }, "pick: "},
		{"maglev", func(c *Config) { c.Pick = Maglev }, ""},
		{"queue", func(c *Config) { c.Queue = 10 }, "queue: "},
		{"connect timeout", func(c *Config) { c.ConnectTimeout = time.Second }, "connect_timeout: "},
		{"bound", func(c *Config) { c.MaxConnections = 10 }, "max_connections: "},
		{"bound of a server", func(c *Config) { c.Servers[0].MaxConnections = 10 }, "server[0].max_connections: "},
		{"idle, nat", func(c *Config) { c.IdleTimeout = time.Minute }, "idle_timeout: "},
		{"idle, dsr", func(c *Config) { dsr(c); c.IdleTimeout = time.Minute }, ""},
		{"admission", func(c *Config) {
			c.NetworkRate, c.NetworkConnections, c.Allow, c.Deny = 10, 10, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
		}, ""},
		{"lists and rate, dsr", func(c *Config) {
			dsr(c)
			c.NetworkRate, c.Deny = 10, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
		}, ""},
		{"connections of a network, dsr", func(c *Config) { dsr(c); c.NetworkConnections = 10 }, "network_connections: "},
		{"failures", func(c *Config) { c.PassiveFailures = 3 }, ""},
		{"failures of udp", func(c *Config) { c.PassiveFailures, c.Protocol = 3, UDP }, "passive_failures: "},
		{"no failures", func(c *Config) { c.PassiveFailures, c.PassiveResets = -1, -1 }, ""},
		{"resets, dsr", func(c *Config) { dsr(c); c.PassiveResets = 3 }, "passive_resets: "},
		{"first byte", func(c *Config) { c.FirstByteTimeout = time.Second }, "first_byte_timeout: "},
		{"deferred accept", func(c *Config) { c.DeferAccept = true }, "defer_accept: "},
		{"least rate", func(c *Config) { c.MinRate = 10 }, "min_rate: "},
		{"log", func(c *Config) { c.LogConnections = 0.5 }, "log_connections: "},
		{"snat", func(c *Config) { c.SNAT = Masquerade }, ""},
		{"snat to an address", func(c *Config) { c.SNAT = "10.0.0.9" }, ""},
		{"snat to another family", func(c *Config) { c.SNAT = "2001:db8::9" }, "snat: "},
		{"snat to a word", func(c *Config) { c.SNAT = "yes" }, "snat: "},
		{"snat, dsr", func(c *Config) { dsr(c); c.SNAT = Masquerade }, "snat: "},
		{"forwarding, proxy", func(c *Config) { c.Plane, c.EnableForwarding = PlaneProxy, true }, "enable_forwarding: "},
		{"mode, nat", func(c *Config) { c.Mode = "nft" }, "mode: "},
		{"mode", func(c *Config) { dsr(c); c.Mode = "nft" }, ""},
		{"no such mode", func(c *Config) { dsr(c); c.Mode = "ipvs" }, "mode: "},
		{"interfaces, nat", func(c *Config) { c.Interfaces = []string{"eth0"} }, "interfaces: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := good()
			test.change(&cfg)
			for _, c := range []Config{cfg, cfg.WithDefaults()} {
				var faults []string
				c.Validate(func(key, msg string) { faults = append(faults, fmt.Sprintf("%s: %s", key, msg)) })
				switch {
				case test.want == "" && len(faults) > 0, test.want != "" && (len(faults) != 1 || !strings.HasPrefix(faults[0], test.want)):
					t.Errorf("faults %q, want one that begins with %q", faults, test.want)
				}
			}
		})
	}
}

// Slots go by shares, and no more of them change hands than shares change.
func TestTurnSlots(t *testing.T) {
	const size = 251
	count := func(slots []uint16, n int) []int {
		out := make([]int, n)
		for _, o := range slots {
			out[o]++
		}
		return out
	}
	fresh := make([]uint16, size)
	for i := range fresh {
		fresh[i] = none
	}
	first := turnSlots([]float64{1, 1, 2}, size, fresh)
	if got := fmt.Sprint(count(first, 3)); got != "[63 63 125]" {
		t.Errorf("slots by shares 1, 1, 2: %s", got)
	}
	for i := 0; i+4 <= size; i++ { // smooth: any four have two of the server with half of the weight
		if n := count(first[i:i+4], 3); n[2] < 1 || n[2] > 3 || n[0] > 2 || n[1] > 2 {
			t.Fatalf("slots %d to %d are bunched: %v", i, i+3, first[i:i+4])
		}
	}
	for _, test := range []struct {
		shares []float64
		most   int // slots that may change hands
	}{{[]float64{1, 1, 2}, 0}, {[]float64{1, 1, 1.9}, 6}, {[]float64{0.01, 1, 2}, 63}, {[]float64{0.00001, 1, 2}, 63}} {
		next := turnSlots(test.shares, size, first)
		moved := 0
		for i := range next {
			if next[i] != first[i] {
				moved++
			}
		}
		if moved > test.most {
			t.Errorf("shares %v: %d slots changed hands, want at most %d", test.shares, moved, test.most)
		}
		if n := count(next, 3); n[0] == 0 {
			t.Errorf("shares %v: %v: a server in service has none", test.shares, n)
		}
	}
}

// However servers come, go and change their weights, each one's slots stay spread over the
// table, which planes take in turns.
func TestTurnSlotsStaySpread(t *testing.T) {
	const size = 1021
	f := &family{size: size, owner: make([]uint16, size)}
	for i := range f.owner {
		f.owner[i] = none
	}
	first := []uint64{1, 2, 3, 4}
	f.owner, f.seeds = turnSlots([]float64{1, 1, 1, 1}, size, f.owner), first
	for n, step := range []struct {
		seeds  []uint64
		shares []float64
	}{
		{[]uint64{1, 2, 3}, []float64{1, 1, 1}},
		{[]uint64{1, 2, 3, 4}, []float64{1, 1, 1, 1}},
		{[]uint64{1, 2, 3, 4}, []float64{1, 1, 1, 0.1}},
		{[]uint64{1, 2, 3, 4}, []float64{1, 1, 1, 0.5}},
		{[]uint64{1, 2, 3, 4}, []float64{1, 1, 1, 1}},
		{[]uint64{2, 3, 4}, []float64{1, 1, 1}},
		{[]uint64{3, 4}, []float64{1, 1}},
		{[]uint64{3, 4, 5}, []float64{1, 1, 1}},
		{[]uint64{1, 2, 3, 4, 5}, []float64{1, 1, 1, 1, 1}},
		{[]uint64{1}, []float64{1}},
		{[]uint64{1, 2}, []float64{1, 3}},
	} {
		f.owner = turnSlots(step.shares, size, f.moved(step.seeds, size))
		f.seeds = step.seeds
		sum := 0.0
		for _, s := range step.shares {
			sum += s
		}
		for s, seed := range step.seeds {
			last, gap := -1, 0
			for i := range 2 * size { // around, as turns go on from the end
				if int(f.owner[i%size]) == s {
					if last >= 0 {
						gap = max(gap, i-last)
					}
					last = i
				}
			}
			if ideal := sum / step.shares[s]; float64(gap) > 3*ideal+3 {
				t.Errorf("step %d: server %d has a slot in %.1f, and once none for %d", n, seed, ideal, gap)
			}
		}
	}
}
