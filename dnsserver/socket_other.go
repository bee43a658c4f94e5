//go:build !linux

package dnsserver

import (
	"context"
	"net"

	"errors"
)

// listenUDP binds a UDP socket. Sharing an address is not portable.
func listenUDP(ctx context.Context, network, addr string, wildcard, reuse bool) (*net.UDPConn, error) {
	if reuse {
		return nil, errors.New("several workers for one address need Linux: set dns.workers = 1")
	}
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return pc.(*net.UDPConn), nil
}

func listenTCP(ctx context.Context, network, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, network, addr)
}

// replyFrom leaves the choice of the source address to the system.
func replyFrom([]byte, bool) []byte { return nil }
