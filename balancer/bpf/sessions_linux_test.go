package bpf

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"gslb/balancer/kernel"
	"gslb/test/bed"
)

// sessions has ten thousand UDP sessions: each stays at its server when that gets no new
// ones, and goes to another with its next datagram when it is gone.
func (s *site) sessions(t *testing.T, e kernel.Engine) {
	const sessions, kept = 10000, 100
	apply := func(gone bool, in ...int) {
		t.Helper()
		var services []kernel.Service
		for _, vip := range siteVIPs {
			service := s.service(vip, kernel.UDP, in...)
			service.Idle = time.Hour // the first are not asked again until all others are there
			service.Servers[0].Gone = gone
			services = append(services, service)
		}
		s.apply(t, e, services...)
	}
	apply(false, 0, 1, 2)
	var held [kept]net.Conn
	var before [kept]int
	var fault error
	bed.Inside(t, s.client, func() { // on another goroutine
		for i := range sessions {
			vip := siteVIPs[i%4/3]                   // three of IPv4, one of IPv6
			local := &net.UDPAddr{Port: 20000 + i/2} // one after the other: the kernel would take one twice
			if i%2 == 1 {
				local.Port += sessions
			}
			c, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(vip))
			if err != nil {
				fault = err
				return
			}
			who := asks(c)
			if who < 0 {
				fault = fmt.Errorf("session %d: no answer to %v", i, c.LocalAddr())
				return
			}
			if i < kept {
				held[i], before[i] = c, who
				t.Cleanup(func() { c.Close() })
			} else {
				c.Close()
			}
		}
	})
	if fault != nil {
		t.Fatal(fault)
	}
	flows := map[netip.AddrPort]bool{}
	if err := e.Flows(func(f kernel.Flow) bool { flows[f.Client] = f.Protocol == kernel.UDP; return true }); err != nil || len(flows) < sessions {
		t.Errorf("%d flows are remembered, want %d (%v)", len(flows), sessions, err)
	}
	apply(false, 1, 2)
	for i, c := range held {
		if who := asks(c); who != before[i] {
			t.Fatalf("session %d of server %d after its slots went: %d", i, before[i], who)
		}
	}
	apply(true, 1, 2)
	for i, c := range held {
		if who := asks(c); who != before[i] && before[i] != 0 || who != 1 && who != 2 {
			t.Fatalf("session %d of server %d after server 0 was gone: %d", i, before[i], who)
		}
	}
}

// asks returns who answers a datagram of a session; -1: nobody. One may be lost.
func asks(c net.Conn) int {
	for range 20 {
		var b [1]byte
		_ = c.SetDeadline(time.Now().Add(time.Second))
		if _, err := c.Write(b[:]); err != nil {
			continue
		}
		if _, err := c.Read(b[:]); err == nil {
			return int(b[0])
		}
	}
	return -1
}
