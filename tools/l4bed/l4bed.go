// Package l4bed is a site in network namespaces, for tests and benchmarks of the
// balancer's planes in the kernel:
//
//	client -- router -- bridge (in the router) -- balancer, server 0, server 1 …
//
// The virtual addresses are routed to the balancer. Answers of the servers go by
// way of the balancer (nat), or straight to the router (dsr: the servers have the
// virtual addresses on their loopback interface, and answer no ARP for them).
//
// It needs root, ip (iproute2) and sysctl in /proc. Every namespace has a name of
// its own, and is gone after Close.
package l4bed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
)

// Return is the way of the servers' answers.
type Return string

const (
	ByBalancer Return = "balancer" // through the balancer
	ByRouter   Return = "router"   // past it
)

// The virtual addresses.
const (
	VIP4 = "192.0.2.10"
	VIP6 = "2001:db8:2::10"
)

// The balancer's own addresses, and the client's.
const (
	Balancer4, Balancer6 = "10.77.2.2", "fd77:2::2"
	Client4, Client6     = "10.77.1.2", "fd77:1::2"
)

// Site is the namespaces, by name. Their only other interface is eth0.
type Site struct {
	Client, Router, Balancer string
	Servers                  []string
}

// Server4 and Server6 are the addresses of a server.
func Server4(i int) string { return fmt.Sprintf("10.77.2.%d", 11+i) }

func Server6(i int) string { return fmt.Sprintf("fd77:2::%d", 11+i) }

// Exec is the words that run a command in a namespace.
func Exec(ns string, words ...string) []string {
	return append([]string{"ip", "netns", "exec", ns}, words...)
}

// New makes a site with so many servers. After an error nothing is left of it.
func New(servers int, answers Return) (*Site, error) {
	prefix := fmt.Sprintf("gslb-l4-%08x-", rand.Uint32())
	s := &Site{Client: prefix + "client", Router: prefix + "router", Balancer: prefix + "balancer"}
	for i := range servers {
		s.Servers = append(s.Servers, fmt.Sprintf("%sserver%d", prefix, i))
	}
	if err := s.make(answers); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close takes all namespaces away.
func (s *Site) Close() error {
	var faults []error
	for _, ns := range s.all() {
		if _, err := os.Stat("/var/run/netns/" + ns); err == nil {
			faults = append(faults, ip("netns del "+ns))
		}
	}
	return errors.Join(faults...)
}

func (s *Site) all() []string {
	return append([]string{s.Client, s.Router, s.Balancer}, s.Servers...)
}

// ip runs lines of arguments of ip(8), until one fails.
func ip(lines ...string) error {
	for _, line := range lines {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}

func (s *Site) make(answers Return) error {
	for _, ns := range s.all() {
		if err := ip("netns add "+ns, "-n "+ns+" link set lo up"); err != nil {
			return err
		}
	}
	r := s.Router
	if err := ip("-n "+r+" link add hub type bridge", "-n "+r+" link set hub up",
		"-n "+r+" addr add 10.77.2.1/24 dev hub", "-n "+r+" addr add fd77:2::1/64 dev hub nodad",
		"link add eth0 netns "+s.Client+" type veth peer name client netns "+r,
		"-n "+r+" link set client up", "-n "+r+" addr add 10.77.1.1/24 dev client", "-n "+r+" addr add fd77:1::1/64 dev client nodad"); err != nil {
		return err
	}
	if err := s.station(s.Client, Client4, Client6, "10.77.1.1", "fd77:1::1"); err != nil {
		return err
	}
	if err := s.cable(s.Balancer, "balancer"); err != nil {
		return err
	}
	if err := s.station(s.Balancer, Balancer4, Balancer6, "10.77.2.1", "fd77:2::1"); err != nil {
		return err
	}
	via4, via6 := Balancer4, Balancer6
	if answers == ByRouter {
		via4, via6 = "10.77.2.1", "fd77:2::1"
	}
	for i, ns := range s.Servers {
		if err := s.cable(ns, fmt.Sprintf("server%d", i)); err != nil {
			return err
		}
		if err := s.station(ns, Server4(i), Server6(i), via4, via6); err != nil {
			return err
		}
		if answers == ByRouter {
			// The servers have the virtual address, too, and keep quiet about it.
			if err := errors.Join(set(ns, "net.ipv4.conf.all.arp_ignore", "1"), set(ns, "net.ipv4.conf.all.arp_announce", "2"),
				ip("-n "+ns+" addr add "+VIP4+"/32 dev lo", "-n "+ns+" addr add "+VIP6+"/128 dev lo nodad")); err != nil {
				return err
			}
		}
	}
	if err := ip("-n "+s.Balancer+" addr add "+VIP4+"/32 dev lo", "-n "+s.Balancer+" addr add "+VIP6+"/128 dev lo nodad",
		"-n "+r+" route add "+VIP4+"/32 via "+Balancer4, "-n "+r+" route add "+VIP6+"/128 via "+Balancer6); err != nil {
		return err
	}
	return errors.Join(s.Forward(r), s.Forward(s.Balancer))
}

// cable connects a namespace to the hub.
func (s *Site) cable(ns, name string) error {
	return ip("link add eth0 netns "+ns+" type veth peer name "+name+" netns "+s.Router,
		"-n "+s.Router+" link set "+name+" master hub", "-n "+s.Router+" link set "+name+" up")
}

// station gives a namespace its addresses and its way out.
func (s *Site) station(ns, a4, a6, via4, via6 string) error {
	for name, value := range map[string]string{"net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.eth0.rp_filter": "0", "net.ipv4.conf.all.send_redirects": "0", "net.ipv4.conf.eth0.send_redirects": "0"} {
		if err := set(ns, name, value); err != nil {
			return err
		}
	}
	return ip("-n "+ns+" addr add "+a4+"/24 dev eth0", "-n "+ns+" addr add "+a6+"/64 dev eth0 nodad", "-n "+ns+" link set eth0 up",
		"-n "+ns+" route add default via "+via4, "-n "+ns+" -6 route add default via "+via6)
}

// Forward has a namespace forward packets.
func (s *Site) Forward(ns string) error {
	return errors.Join(set(ns, "net.ipv4.ip_forward", "1"), set(ns, "net.ipv6.conf.all.forwarding", "1"))
}

// set sets a sysctl of a namespace.
func set(ns, name, value string) error {
	cmd := exec.Command("ip", "netns", "exec", ns, "tee", "/proc/sys/"+strings.ReplaceAll(name, ".", "/"))
	cmd.Stdin = strings.NewReader(value)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s in %s: %w: %s", name, ns, err, out)
	}
	return nil
}
