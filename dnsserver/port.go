package dnsserver

import (
	"net"
	"net/netip"
)

// portForBoth gives an address whose port is left to the system (0) one that is free
// for TCP and for UDP. Of the port that TCP alone would get somebody may have UDP's.
func portForBoth(ap netip.AddrPort) netip.AddrPort {
	if ap.Port() != 0 {
		return ap
	}
	for range 100 {
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(ap))
		if err != nil {
			break
		}
		at := netip.AddrPortFrom(ap.Addr(), u.LocalAddr().(*net.UDPAddr).AddrPort().Port())
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		u.Close()
		if err == nil {
			l.Close()
			return at
		}
	}
	return ap // and let whoever binds it say what is wrong
}
