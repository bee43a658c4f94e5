package balancer

import (
	"fmt"
	"slices"
	"strings"

	"gslb/balancer/kernel"
)

// What Tunnel may be.
const (
	TunnelNone = "none" // the frame is readdressed: the server is in the same Ethernet
	TunnelIPIP = "ipip" // the packet in another: RFC 2003, RFC 2473
	TunnelGUE  = "gue"  // that in UDP: draft-ietf-intarea-gue, variant 1
)

// guePort is IANA's.
const guePort = 6080

var tunnels = map[string]kernel.Tunnel{"": kernel.NoTunnel, TunnelNone: kernel.NoTunnel, TunnelIPIP: kernel.IPIP, TunnelGUE: kernel.GUE}

// tunnelled tells whether packets get an outer header.
func (c *Config) tunnelled() bool { return tunnels[c.Tunnel] != kernel.NoTunnel }

func (c Config) validateDSR(bad func(key, msg string)) {
	if _, known := tunnels[c.Tunnel]; !known {
		bad("tunnel", fmt.Sprintf("%q: must be %s, %s or %s", c.Tunnel, TunnelNone, TunnelIPIP, TunnelGUE))
	}
	if c.TunnelPort != 0 && c.Tunnel != TunnelGUE {
		bad("tunnel_port", fmt.Sprintf("is for tunnel %q alone", TunnelGUE))
	} else if c.TunnelPort < 0 || c.TunnelPort > 65535 {
		bad("tunnel_port", fmt.Sprintf("%d: must be a port, 1 to 65535", c.TunnelPort))
	}
	i := slices.IndexFunc(dsrWays, func(w kernel.Way) bool { return w.Name == c.Mode })
	if i < 0 {
		return
	}
	var can []string
	for _, w := range dsrWays {
		if w.Tunnels {
			can = append(can, w.Name)
		}
	}
	without := func(set bool, key string) {
		if set && !dsrWays[i].Tunnels {
			bad(key, fmt.Sprintf("does not go with mode %q: must be %s", c.Mode, strings.Join(append(can, ModeAuto), " or ")))
		}
	}
	without(c.tunnelled(), "tunnel")
	without(c.KeepForwarding, "keep_forwarding")
}
