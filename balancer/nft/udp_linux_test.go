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

// answer answers each datagram with a text, until the socket is closed.
func (e *echoUDP) answer(text string) {
	b := make([]byte, 1500)
	for {
		if e.four != nil {
			_, cm, from, err := e.four.ReadFrom(b)
			if err != nil {
				return
			}
			e.four.WriteTo([]byte(text), &ipv4.ControlMessage{Src: cm.Dst}, from)
			continue
		}
		_, cm, from, err := e.six.ReadFrom(b)
		if err != nil {
			return
		}
		e.six.WriteTo([]byte(text), &ipv6.ControlMessage{Src: cm.Dst}, from)
	}
}
