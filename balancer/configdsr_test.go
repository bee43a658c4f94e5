package balancer

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestDSRConfig has each fault of the keys of direct server return told at its key.
func TestDSRConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string // the key and a part of what is said; "": no fault
	}{
		{"as it is", func(*Config) {}, ""},
		{"IPIP", func(c *Config) { c.Tunnel = TunnelIPIP }, ""},
		{"GUE", func(c *Config) { c.Tunnel, c.TunnelPort = TunnelGUE, 6635 }, ""},
		{"kept", func(c *Config) { c.KeepForwarding, c.Mode = true, "tcx" }, ""},
		{"no tunnel", func(c *Config) { c.Tunnel, c.Mode = TunnelNone, "nft" }, ""},
		{"another tunnel", func(c *Config) { c.Tunnel = "gre" }, `tunnel: "gre": must be none, ipip or gue`},
		{"a port without GUE", func(c *Config) { c.TunnelPort = 1 }, `tunnel_port: is for tunnel "gue" alone`},
		{"no port", func(c *Config) { c.Tunnel, c.TunnelPort = TunnelGUE, 65536 }, "tunnel_port: 65536: must be a port"},
		{"a tunnel by nftables", func(c *Config) { c.Tunnel, c.Mode = TunnelIPIP, "nft" }, `tunnel: does not go with mode "nft": must be xdp or tcx or auto`},
		{"kept by nftables", func(c *Config) { c.KeepForwarding, c.Mode = true, "nft" }, `keep_forwarding: does not go with mode "nft"`},
		{"another mode", func(c *Config) { c.Mode = "ebpf" }, `mode: "ebpf": must be "auto" or one of xdp, tcx, nft`},
		{"a tunnel of another plane", func(c *Config) { c.Plane, c.Tunnel = PlaneNAT, TunnelIPIP }, `tunnel: is for plane "dsr" alone`},
		{"kept by another plane", func(c *Config) { c.Plane, c.KeepForwarding = PlaneProxy, true }, `keep_forwarding: is for plane "dsr" alone`},
	} {
		cfg := Config{Name: "www", Plane: PlaneDSR, Listen: []string{"192.0.2.10:443"}, Servers: []ServerConfig{{Address: "10.0.1.11:443"}}}
		c.change(&cfg)
		var said []string
		cfg.Validate(func(key, msg string) { said = append(said, key+": "+msg) })
		if c.want == "" && len(said) > 0 || c.want != "" && !slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, c.want) }) {
			t.Errorf("%s: %q, want %q", c.name, said, c.want)
		}
	}
	cfg := Config{Plane: PlaneDSR}.WithDefaults()
	if cfg.Pick != Maglev || cfg.HashBy != HashConnection {
		t.Errorf("defaults: pick %q by %q, want what balancers of one address have in common", cfg.Pick, cfg.HashBy)
	}
}

// TestFlowKeys holds the hash of flows to what it was: balancers of different
// versions share addresses. The same values are in package bpf's test of its program.
func TestFlowKeys(t *testing.T) {
	for _, c := range []struct {
		client, local string
		whole         bool
		key           string
		want          uint64
	}{
		{"198.51.100.7:40001", "192.0.2.10:443", false, "", 0x88cb82ea811fed48},
		{"[2001:db8:1::7]:40001", "[2001:db8::10]:443", false, "", 0x658b6d612ec55863},
		{"198.51.100.7:40001", "192.0.2.10:443", true, "", 0xce14a3fb5d30b6b8},
		{"[2001:db8:1::7]:40001", "[2001:db8::10]:443", true, "", 0xda6c69349e5f2ff9},
		{"198.51.100.7:40001", "192.0.2.10:443", false, "a secret", 0x335fb0a627b57618},
		{"[2001:db8:1::7]:40001", "[2001:db8::10]:443", false, "a secret", 0xd1d6cc07113b0a34},
		{"198.51.100.7:40001", "192.0.2.10:443", true, "a secret", 0xa0c8673eef6e9919},
		{"[2001:db8:1::7]:40001", "[2001:db8::10]:443", true, "a secret", 0x7ac00662071e5c30},
	} {
		f := flow{netip.MustParseAddrPort(c.client), netip.MustParseAddrPort(c.local)}
		if got := f.key(c.whole, hashSeed(c.key)); got != c.want {
			t.Errorf("%s to %s, whole %v, key %q: %#x, want %#x", c.client, c.local, c.whole, c.key, got, c.want)
		}
	}
}
