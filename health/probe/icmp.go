package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// icmpProber is healthy when an echo request (RFC 792, RFC 4443) is answered.
// That is the kernel's word of a machine, not that of any service on it.
type icmpProber struct{ place }

func newICMP(c Config, _ Target, address string, _ *means) (Prober, error) {
	return &icmpProber{placeOf(c, address)}, nil
}

var pinging = phase{"waiting for the echo of", "ping of"}

func (p *icmpProber) Probe(ctx context.Context) (Seen, error) {
	a := begin(ctx, p.place)
	defer a.end()
	a.phase = connecting
	to, err := a.resolve()
	if err != nil {
		return Seen{}, err
	}
	conn, err := a.openPing(to)
	if err != nil {
		return Seen{}, err
	}
	a.take(conn)
	a.phase = pinging
	nonce := rand.Uint64()
	request, reply := icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply)
	protocol := 1
	if to.Is6() {
		request, reply, protocol = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, 58
	}
	id := int(nonce & 0xffff) // the kernel puts its own in where the socket is a ping socket
	message := icmp.Message{Type: request, Body: &icmp.Echo{ID: id, Seq: 1, Data: binary.BigEndian.AppendUint64([]byte("gslb-probe"), nonce)}}
	packed, err := message.Marshal(nil) // the kernel computes the checksum of ICMPv6
	if err != nil {
		return Seen{}, err
	}
	if _, err := conn.Write(packed); err != nil {
		return Seen{}, a.fault(err)
	}
	return Seen{}, p.await(a, conn, protocol, reply, nonce)
}

// await reads until the echo with the nonce comes. A raw socket gets others' echos too.
func (p *icmpProber) await(a *attempt, conn net.Conn, protocol int, reply icmp.Type, nonce uint64) error {
	buffer := make([]byte, 2048)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return a.fault(err)
		}
		if echoed(protocol, buffer[:n], reply, nonce) {
			return nil
		}
	}
}

// echoed tells whether a message, which may be anything, is the echo with the nonce.
func echoed(protocol int, raw []byte, reply icmp.Type, nonce uint64) bool {
	m, err := icmp.ParseMessage(protocol, raw)
	if err != nil || m.Type != reply {
		return false
	}
	echo, ok := m.Body.(*icmp.Echo)
	return ok && len(echo.Data) >= 8 && binary.BigEndian.Uint64(echo.Data[len(echo.Data)-8:]) == nonce
}

// resolve is the address of the attempt's host, of the source's family where one is set.
func (a *attempt) resolve() (netip.Addr, error) {
	if to, err := netip.ParseAddr(a.address); err == nil {
		return to.Unmap(), nil
	}
	all, err := (&net.Resolver{PreferGo: true}).LookupNetIP(a.ctx, "ip", a.address)
	if err != nil {
		return netip.Addr{}, a.fault(err)
	}
	from, bound := a.place.from(a.address)
	for _, to := range all {
		if to = to.Unmap(); !bound || to.Is4() == from.Is4() {
			return to, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("connect to %s: it has no address of the family of the source %s", a.address, from)
}

// openPing opens a ping socket, which needs no privilege where the system lets
// the process's group have it, or else a raw one, which needs CAP_NET_RAW.
func (a *attempt) openPing(to netip.Addr) (net.Conn, error) {
	udp, ip := "udp4", "ip4:icmp"
	if to.Is6() {
		udp, ip = "udp6", "ip6:ipv6-icmp"
	}
	from, bound := a.place.from(to.String())
	source := ""
	if bound {
		source = from.String()
	}
	packets, err := icmp.ListenPacket(udp, source)
	if err == nil {
		return &pingConn{packets, &net.UDPAddr{IP: to.AsSlice(), Zone: to.Zone()}}, nil
	}
	d := net.Dialer{}
	if bound {
		d.LocalAddr = localAddr("ip", from)
	}
	conn, rawErr := d.DialContext(a.ctx, ip, to.String()) // connected: the kernel drops what others send
	switch {
	case rawErr == nil:
		return rawConn{conn.(*net.IPConn)}, nil
	case errors.Is(rawErr, syscall.EPERM), errors.Is(rawErr, syscall.EACCES):
		return nil, fmt.Errorf("%w: ping of %s: this process may neither open a ping socket (%s) nor a raw one (%s): "+
			"let its group into net.ipv4.ping_group_range, or give it CAP_NET_RAW", ErrNotProbed, a.address, seen(err), seen(rawErr))
	}
	return nil, a.fault(rawErr)
}

// pingConn is a ping socket that talks to one address.
type pingConn struct {
	*icmp.PacketConn
	to net.Addr
}

func (c *pingConn) Write(b []byte) (int, error) { return c.WriteTo(b, c.to) }
func (c *pingConn) RemoteAddr() net.Addr        { return c.to }
func (c *pingConn) Read(b []byte) (int, error) {
	n, _, err := c.ReadFrom(b)
	return n, err
}

// SetDeadline is there for the attempt, which ends what waits.
func (c *pingConn) SetDeadline(t time.Time) error { return c.PacketConn.SetDeadline(t) }

// rawConn is a connected raw socket whose packets come without their IPv4 header.
type rawConn struct{ *net.IPConn }

func (c rawConn) Read(b []byte) (int, error) {
	n, _, err := c.ReadFromIP(b)
	return n, err
}
