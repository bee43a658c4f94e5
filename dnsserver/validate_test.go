package dnsserver

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	listen := []string{"0.0.0.0:53", "[::]:53"}
	tests := []struct {
		name string
		cfg  Config
		want string // keys with faults
	}{
		{"listen only", Config{Listen: listen}, ""},
		{"all ways to listen", Config{Listen: []string{"127.0.0.1:0", "[2001:db8::1]:53", "[fe80::1%lo]:53"}}, ""},
		{"no one address", Config{Listen: []string{":53", "localhost:5353"}}, "listen[0] listen[1]"},
		{"batches", Config{Listen: listen, Batch: 1025}, "batch"},
		{"buffers too small", Config{Listen: listen, ReceiveBuffer: 65535, SendBuffer: -1}, "receive_buffer send_buffer"},
		{"buffers too large", Config{Listen: listen, ReceiveBuffer: 1<<29 + 1, SendBuffer: 1 << 31}, "receive_buffer send_buffer"},
		{"buffers at the bounds", Config{Listen: listen, ReceiveBuffer: 65536, SendBuffer: 1 << 29}, ""},
		{"busy poll", Config{Listen: listen, BusyPoll: 50 * time.Microsecond, Pin: "auto"}, ""},
		{"busy poll out of bounds", Config{Listen: listen, BusyPoll: 11 * time.Millisecond, Pin: "off"}, "busy_poll"},
		{"busy poll too fine", Config{Listen: listen, BusyPoll: 1500, Pin: "0-3,6"}, "busy_poll"},
		{"pin a word", Config{Listen: listen, Pin: "yes"}, "pin"},
		{"spread a word", Config{Listen: listen, Pin: "auto", Spread: "even"}, "spread"},
		{"spread without pin", Config{Listen: listen, Spread: "cpu"}, "spread"},
		{"spread over too few", Config{Listen: listen, Pin: "0-1", Workers: 3, Spread: "cpu"}, "spread"},
		{"pin twice", Config{Listen: listen, Pin: "0,1,0"}, "pin"},
		{"an engine", Config{Listen: listen, TCPEngine: "portable"}, ""},
		{"no engine", Config{Listen: listen, TCPEngine: "select"}, "tcp_engine"},
		{"nothing", Config{}, "listen"},
		{"no port", Config{Listen: []string{"0.0.0.0", "[::]"}}, "listen[0] listen[1]"},
		{"no address", Config{Listen: []string{"ns1.abc.com:53"}}, "listen[0]"},
		{"no number", Config{Listen: []string{"0.0.0.0:domain", "0.0.0.0:65536"}}, "listen[0] listen[1]"},
		{"below the bounds", Config{Listen: listen, Workers: -1, MaxUDPSize: 511, ECSMaxV4: -1, ECSMaxV6: -1, TCPIdle: 1, TCPMax: -1, TCPMaxClient: -1}, "workers max_udp_size ecs_max_v4 ecs_max_v6 tcp_idle tcp_max tcp_max_client"},
		{"above the bounds", Config{Listen: listen, Workers: 5000, MaxUDPSize: 4097, ECSMaxV4: 33, ECSMaxV6: 129, TCPIdle: 2 * time.Hour, TCPMax: 10, TCPMaxClient: 11}, "workers max_udp_size ecs_max_v4 ecs_max_v6 tcp_idle tcp_max_client"},
		{"at the bounds", Config{Listen: listen, Workers: 1024, MaxUDPSize: 4096, ECSMaxV4: 32, ECSMaxV6: 128, TCPIdle: time.Hour, TCPMax: 10, TCPMaxClient: 10}, ""},
		{"few connections", Config{Listen: listen, TCPMax: 10}, ""},
		{"interfaces", Config{Listen: listen, XDP: []string{"eth0", "enp3s0f1np1"}}, ""},
		{"no interfaces", Config{Listen: listen, XDP: []string{"", "lo", "eth0", "eth0", "../eth1", "sixteen-letters-"}}, "xdp[0] xdp[1] xdp[3] xdp[4] xdp[5]"},
		{"protection", Config{Listen: listen, Cookies: "required", CookieSecretFile: "x", Denied: "drop", RateLimit: 1000000, RateLimitSlip: new(0), RateLimitWindow: time.Minute, MaxAmplification: new(0), Version: strings.Repeat("x", 255)}, ""},
		{"protection out of bounds", Config{Listen: listen, Cookies: "yes", Denied: "reject", RateLimit: -1, RateLimitSlip: new(11), RateLimitWindow: 1, MaxAmplification: new(4), Version: strings.Repeat("x", 256), Identity: strings.Repeat("x", 256)}, "version identity cookies denied rate_limit rate_limit_slip rate_limit_window max_amplification"},
		{"nobody allowed", Config{Listen: listen, Allow: []netip.Prefix{}}, "allow"},
		{"allowed and denied", Config{Listen: listen, Allow: prefixes("10.0.0.0/8"), Deny: prefixes("10.0.0.0/16", "10.0.0.0/8")}, "deny[1]"},
		{"secrets and no cookies", Config{Listen: listen, Cookies: "off", CookieSecretFile: "x"}, "cookie_secret_file"},
		{"host bits", Config{Listen: listen, ECSFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/8")}}, "ecs_from[1]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, cfg := range []Config{tt.cfg, tt.cfg.WithDefaults()} { // the same before and after
				var keys []string
				cfg.Validate(func(key, msg string) { keys = append(keys, key) })
				if got := strings.Join(keys, " "); got != tt.want {
					t.Errorf("faults at %q, want %q", got, tt.want)
				}
			}
		})
	}
}

func TestWithDefaults(t *testing.T) {
	c := Config{}.WithDefaults()
	if c.MaxUDPSize != 1232 || c.ECS == nil || !*c.ECS || c.ECSMaxV4 != 24 || c.ECSMaxV6 != 56 || c.TCPIdle != 10*time.Second || c.TCPMax != 1000 || c.TCPMaxClient != 100 {
		t.Errorf("defaults are %+v", c)
	}
	no := false
	if c := (Config{ECS: &no, MaxUDPSize: 512}).WithDefaults(); *c.ECS || c.MaxUDPSize != 512 {
		t.Errorf("what is set is not kept: %+v", c)
	}
}

func TestParseCPUs(t *testing.T) {
	for s, want := range map[string][]int{
		"off": nil, "auto": nil, "": nil, "0": {0}, "2,0": {2, 0}, "0-3,6": {0, 1, 2, 3, 6}, "1023": {1023}, "1, 3-4": {1, 3, 4},
	} {
		if got, err := parseCPUs(s); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"-1", "1-", "3-1", "0,,1", "1024", "a", "0-1-2", "0-3,2", "+1", "Auto"} {
		if got, err := parseCPUs(s); err == nil {
			t.Errorf("%q: %v, want an error", s, got)
		}
	}
}
