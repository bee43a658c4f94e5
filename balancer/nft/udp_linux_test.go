package nft

import (
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// echoUDP answers datagrams from the address that was asked.
type echoUDP struct {
	*net.UDPConn
	four *ipv4.PacketConn
	six  *ipv6.PacketConn
}

func listenUDP(network, address string) (*echoUDP, error) {
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	if err != nil {
		return nil, err
	}
	e := &echoUDP{UDPConn: conn}
	if network == "udp4" {
		e.four = ipv4.NewPacketConn(conn)
		return e, e.four.SetControlMessage(ipv4.FlagDst, true)
	}
	e.six = ipv6.NewPacketConn(conn)
	return e, e.six.SetControlMessage(ipv6.FlagDst, true)
}

// answer sends each datagram back behind a text, until the socket is closed.
func (e *echoUDP) answer(text string) {
	b := make([]byte, 1500)
	for {
		if e.four != nil {
			n, cm, from, err := e.four.ReadFrom(b)
			if err != nil {
				return
			}
			e.four.WriteTo(append([]byte(text), b[:n]...), &ipv4.ControlMessage{Src: cm.Dst}, from)
			continue
		}
		n, cm, from, err := e.six.ReadFrom(b)
		if err != nil {
			return
		}
		e.six.WriteTo(append([]byte(text), b[:n]...), &ipv6.ControlMessage{Src: cm.Dst}, from)
	}
}
