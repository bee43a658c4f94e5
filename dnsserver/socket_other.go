//go:build !linux

package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// tuneUDP sets buffers. There is no busy polling but on Linux.
func tuneUDP(c *net.UDPConn, cfg Config, _ []int) error {
	_ = c.SetReadBuffer(cfg.ReceiveBuffer) // less is no fault
	_ = c.SetWriteBuffer(cfg.SendBuffer)
	if cfg.BusyPoll > 0 {
		return fmt.Errorf("busy_poll %v: %w", cfg.BusyPoll, errors.ErrUnsupported)
	}
	return nil
}

func listenTCP(ctx context.Context, network, addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1} // idle connections are closed long before it would matter
	return lc.Listen(ctx, network, addr)
}

// reader gives the function that reads once.
func (st *stream) reader() func() error { return st.readAhead }

// replyFrom leaves the choice of the source address to the system.
func replyFrom([]byte, bool) []byte { return nil }
