package nft

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gslb/balancer/kernel"
	"gslb/tools/l4bed"
)

// planes are those of this room, and the way that answers take in them.
var planes = []struct {
	name    string
	way     kernel.Way
	answers l4bed.Return
}{{"nat", NAT, l4bed.ByBalancer}, {"dsr", DSR, l4bed.ByRouter}}

// Ten thousand UDP sessions, of which each stays at its server when the slots change
// hands; when the server is gone, its sessions go to the other with their next datagram.
func TestUDPSessions(t *testing.T) {
	for _, plane := range planes {
		t.Run(plane.name, func(t *testing.T) {
			site := newSite(t, 2, plane.answers)
			e := open(t, site, plane.way)
			service := www(kernel.UDP)
			service.Idle = time.Hour // the first are not asked again until all others are there
			apply := func() {
				t.Helper()
				within(t, site.Balancer, func() error { return e.Apply([]kernel.Service{service}) })
			}
			apply()
			asked := 0
			datagram := func(conn net.Conn) (string, error) {
				b := make([]byte, 16)
				for range 20 { // a datagram may be lost, or its answer come late
					asked++
					question := fmt.Sprint(" ", asked)
					if _, err := conn.Write([]byte(question)); err != nil {
						continue // refused: the answer to an earlier one
					}
					for conn.SetReadDeadline(time.Now().Add(time.Second)); ; {
						n, err := conn.Read(b)
						if err != nil {
							break
						}
						if who, ok := strings.CutSuffix(string(b[:n]), question); ok {
							return who, nil
						}
					}
				}
				return "", fmt.Errorf("no answer to %v", conn.LocalAddr())
			}
			const sessions, kept = 10000, 100
			var held []net.Conn
			var before []string
			within(t, site.Client, func() error {
				for i := range sessions {
					// Ports one after the other: the kernel would take one twice.
					local := &net.UDPAddr{Port: 20000 + i}
					vip := l4bed.VIP4
					if i%4 == 3 {
						vip = l4bed.VIP6
					}
					conn, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(vip), port)))
					if err != nil {
						return err
					}
					who, err := datagram(conn)
					if err != nil {
						return err
					}
					if i < kept {
						held, before = append(held, conn), append(before, who)
						t.Cleanup(func() { conn.Close() })
					} else {
						conn.Close()
					}
				}
				return nil
			})
			total := kernel.Counters{}
			within(t, site.Balancer, func() error {
				return e.Count(func(_ string, _ netip.AddrPort, c kernel.Counters) {
					total = add(total, c)
					total.Open += c.Open
				})
			})
			if total.Connections < sessions {
				t.Errorf("counted %+v, want %d sessions", total, sessions)
			}
			service.Slots4, service.Slots6 = slotsFor(1), slotsFor(3)
			apply()
			for i, conn := range held {
				if who, err := datagram(conn); err != nil || who != before[i] {
					t.Fatalf("session %d of server %s after its slots went: %q, %v", i, before[i], who, err)
				}
			}
			service.Servers = append([]kernel.Server{}, service.Servers...)
			service.Servers[0].Gone, service.Servers[2].Gone = true, true
			apply()
			for i, conn := range held {
				if who, err := datagram(conn); err != nil || who != "1" {
					t.Fatalf("session %d after server 0 was gone: %q, %v", i, who, err)
				}
			}
			within(t, site.Balancer, func() error { return e.Close(false) })
		})
	}
}
