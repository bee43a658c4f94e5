package balancer

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gslb/balancer/kernel"
)

// What Mode may be besides the names of the ways.
const ModeAuto = "auto"

// Masquerade is what SNAT may be besides an address.
const Masquerade = "masquerade"

// inKernel tells whether the frontend's connections are the kernel's.
func (c *Config) inKernel() bool { return c.Plane == PlaneNAT || c.Plane == PlaneDSR }

func (c Config) validatePlane(bad func(key, msg string)) {
	switch c.Protocol {
	case "", TCP, UDP:
	default:
		bad("protocol", fmt.Sprintf("%q: must be %q or %q", c.Protocol, TCP, UDP))
	}
	if c.Plane != "" && !slices.Contains(Planes(), c.Plane) {
		bad("plane", fmt.Sprintf("%q: must be one of %s", c.Plane, strings.Join(Planes(), ", ")))
		return
	}
	c.validateDatagrams(bad)
	only := func(set bool, key, plane string) {
		if set && c.Plane != plane {
			bad(key, fmt.Sprintf("is for plane %q alone", plane))
		}
	}
	only(c.SNAT != "", "snat", PlaneNAT)
	only(c.EnableForwarding, "enable_forwarding", PlaneNAT)
	only(len(c.Interfaces) > 0, "interfaces", PlaneDSR)
	only(c.tunnelled(), "tunnel", PlaneDSR)
	only(c.TunnelPort != 0, "tunnel_port", PlaneDSR)
	only(c.KeepForwarding, "keep_forwarding", PlaneDSR)
	only(c.Mode != "" && c.Mode != ModeAuto, "mode", PlaneDSR)
	if c.inKernel() {
		c.validateKernel(bad)
	}
	if c.Plane == PlaneDSR {
		c.validateDSR(bad)
	}
	c.validateEngine(bad)
}

func (c Config) validateEngine(bad func(key, msg string)) {
	ours := c.Plane == "" || c.Plane == PlaneProxy
	switch {
	case c.Engine == "":
	case !ours:
		bad("engine", fmt.Sprintf("%q: only the plane %q has engines", c.Engine, PlaneProxy))
	case !slices.Contains(Engines(), c.Engine):
		bad("engine", fmt.Sprintf("%q: must be one of %s on this system", c.Engine, strings.Join(Engines(), ", ")))
	}
	switch {
	case c.Threads == 0:
	case c.Threads < 0 || c.Threads > threadsMost:
		bad("threads", fmt.Sprintf("%d: must be 0 (as many as there are cores) to %d", c.Threads, threadsMost))
	case c.Engine == EnginePortable || c.Engine == "" && Engines()[0] == EnginePortable || !ours:
		bad("threads", fmt.Sprintf("%d: only the engine %q has threads of its own", c.Threads, EngineEpoll))
	}
}

// validateKernel finds what a plane in the kernel cannot do.
func (c Config) validateKernel(bad func(key, msg string)) {
	never := func(set bool, key, why string) {
		if set {
			bad(key, fmt.Sprintf("does not go with plane %q: %s", c.Plane, why))
		}
	}
	never(c.Pick == LeastConnections || c.Pick == Latency, "pick",
		fmt.Sprintf("%q looks at each server for each connection, and the kernel has a table; %s can be had", c.Pick, strings.Join([]string{LeastLoad, RoundRobin, Weighted, Maglev, Hash}, ", ")))
	never(c.ConnectTimeout != 0, "connect_timeout", "the client itself connects to the server")
	never(c.Queue != 0, "queue", "nobody waits for a server; the kernel passes packets on at once")
	never(c.QueueTimeout != 0, "queue_timeout", "nobody waits for a server; the kernel passes packets on at once")
	never(c.MaxConnections != 0, "max_connections", "the kernel passes packets on without a count")
	never(c.NetworkConnections != 0 && c.Plane == PlaneDSR, "network_connections", "servers answer clients themselves, so it is not seen here when connections end; network_rate can be had")
	never(c.PassiveFailures > 0 && c.Protocol == UDP, "passive_failures", "datagrams make no connection that could fail; a check tells")
	never(c.PassiveResets > 0, "passive_resets", "what connections say does not come by; a check tells")
	const within = "gslb does not see the connections' bytes"
	never(c.FirstByteTimeout != 0, "first_byte_timeout", within)
	never(c.DeferAccept, "defer_accept", within)
	never(c.MinRate != 0, "min_rate", within)
	never(c.LogConnections != 0, "log_connections", "gslb does not see connections end; `gslb connections` lists those that are open")
	if c.Plane == PlaneNAT {
		const own = "the kernel's connection tracking has time-outs of its own, for all connections (sysctl net.netfilter.nf_conntrack_*_timeout_*)"
		never(c.IdleTimeout != 0, "idle_timeout", own)
		never(c.CloseTimeout != 0, "close_timeout", own)
	}
	if names := ModeNames(); c.Mode != "" && c.Mode != ModeAuto && !slices.Contains(names, c.Mode) {
		bad("mode", fmt.Sprintf("%q: must be %q or one of %s", c.Mode, ModeAuto, strings.Join(names, ", ")))
	}
	ports, families := c.kernelListen(bad)
	c.kernelServers(bad, ports, families)
	if c.SNAT == "" || c.SNAT == Masquerade {
		return
	}
	if a, err := netip.ParseAddr(c.SNAT); err != nil {
		bad("snat", fmt.Sprintf(`%q: must be "masquerade" or an IP address of this machine`, c.SNAT))
	} else if families[!a.Is4()] {
		bad("snat", fmt.Sprintf(`%q: is of one family, and this frontend has both, or the other; "masquerade" serves both`, c.SNAT))
	}
}

// kernelListen checks the virtual addresses, and returns their ports, and of which
// families they are (true: IPv4).
func (c Config) kernelListen(bad func(key, msg string)) (ports map[string]bool, families map[bool]bool) {
	ports, families = map[string]bool{}, map[bool]bool{}
	for i, address := range c.Listen {
		if badListen(address) != "" {
			continue
		}
		key := fmt.Sprintf("listen[%d]", i)
		host, port, _ := net.SplitHostPort(address)
		ports[port] = true
		ip, err := netip.ParseAddr(host)
		switch {
		case anyPort(address):
			bad(key, fmt.Sprintf("%q: plane %q needs a port of its own", address, c.Plane))
		case c.Plane == PlaneDSR && (err != nil || ip.IsUnspecified()):
			bad(key, fmt.Sprintf("%q: plane %q needs the virtual address, which its servers have, too", address, c.Plane))
		case ip.Zone() != "" || ip.IsLoopback():
			bad(key, fmt.Sprintf("%q: plane %q needs an address that clients' packets come to from outside", address, c.Plane))
		case err != nil:
			families[true], families[false] = true, true
		default:
			families[ip.Unmap().Is4()] = true
		}
	}
	return ports, families
}

func (c Config) kernelServers(bad func(key, msg string), ports map[string]bool, families map[bool]bool) {
	found := map[bool]bool{}
	check := func(list string, servers []ServerConfig) {
		for i, s := range servers {
			key := fmt.Sprintf("%s[%d]", list, i)
			if s.MaxConnections != 0 {
				bad(key+".max_connections", fmt.Sprintf("does not go with plane %q: the kernel passes packets on without a count", c.Plane))
			}
			host, port, err := net.SplitHostPort(s.Address)
			if err != nil {
				continue // said by validateServers
			}
			ip, err := netip.ParseAddr(host)
			switch {
			case err != nil:
				bad(key+".address", fmt.Sprintf("%q: plane %q needs an IP address; the kernel resolves no names", s.Address, c.Plane))
				continue
			case ip.IsLoopback() || ip.Zone() != "" || ip.IsUnspecified():
				bad(key+".address", fmt.Sprintf("%q: plane %q needs an address that packets can be sent on to", s.Address, c.Plane))
			case c.Plane == PlaneDSR && len(ports) > 0 && (len(ports) > 1 || !ports[port]):
				bad(key+".address", fmt.Sprintf("%q: the port must be that of listen: with plane %q packets reach the server as clients sent them", s.Address, c.Plane))
			}
			if v4 := ip.Unmap().Is4(); list == "server" {
				found[v4] = true
			}
		}
	}
	check("server", c.Servers)
	check("spare", c.Spares)
	for v4, name := range map[bool]string{true: "IPv4", false: "IPv6"} {
		if families[v4] && !found[v4] {
			bad("listen", fmt.Sprintf("is %s, too, and no [[frontend.server]] has an %s address: a plane in the kernel does not go from one to the other", name, name))
		}
	}
}

// source is SNAT for an engine.
func (c *Config) source() kernel.Source {
	a, _ := netip.ParseAddr(c.SNAT)
	return kernel.Source{Masquerade: c.SNAT == Masquerade, Address: a.Unmap()}
}

func portNumber(port string) uint16 {
	n, _ := strconv.ParseUint(port, 10, 16)
	return uint16(n)
}
