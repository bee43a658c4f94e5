package nft

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"gslb/balancer/kernel"
	"gslb/tools/l4bed"
)

func TestDSR(t *testing.T) {
	site := newSite(t, 2, l4bed.ByRouter)
	e := open(t, site, DSR)
	apply := func(services ...kernel.Service) {
		t.Helper()
		within(t, site.Balancer, func() error { return e.Apply(services) })
	}
	service := www(kernel.TCP)
	apply(service)
	for _, vip := range []string{l4bed.VIP4 + ":80", "[" + l4bed.VIP6 + "]:80"} {
		if seen := spread(t, site, vip, 20); seen["0"] != 10 || seen["1"] != 10 {
			t.Fatalf("%s: connections per server %v, want 10 each: they take turns\n%s", vip, seen, tables(t, site))
		}
	}
	tables(t, site) // nft can read it
	var held net.Conn
	var who string
	within(t, site.Client, func() (err error) {
		who, held, err = ask(l4bed.VIP4 + ":80")
		return err
	})
	defer held.Close()
	at, other := uint16(who[0]-'0'), uint16(1-(who[0]-'0'))
	counts := kernel.Counters{}
	within(t, site.Balancer, func() error {
		return e.Count(func(_ string, _ netip.AddrPort, c kernel.Counters) {
			counts = add(counts, c)
			counts.Open += c.Open
		})
	})
	if counts.Connections != 41 || counts.Open < 1 || counts.BytesUp == 0 {
		t.Fatalf("counted %+v, want 41 connections, some open, and bytes", counts)
	}
	// Its server gets no more: what it has goes on, through slots and through a new generation.
	service.Slots4 = slotsFor(other)
	apply(service)
	if err := echo(held); err != nil {
		t.Fatalf("a connection that was there before its server lost its slots: %v", err)
	}
	service.Idle *= 2
	apply(service)
	if err := echo(held); err != nil {
		t.Fatalf("a connection that was there before the services changed: %v", err)
	}
	service.Servers = append([]kernel.Server{}, service.Servers...)
	service.Servers[at].Gone = true
	apply(service)
	if err := echo(held); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Fatalf("a connection of a server that is gone: %v, want a reset", err)
	}
	within(t, site.Balancer, func() error { return e.Close(false) })
	if left := tables(t, site); strings.Contains(left, "gslb") {
		t.Fatalf("left in the kernel:\n%s", left)
	}
}
