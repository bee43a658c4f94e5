package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"gslb/handover"
)

// What sockets are called when they go to another process: one of these and the
// address as the configuration has it (QUIC's: that which is bound).
const (
	inheritUDP   = "dns udp "
	inheritTCP   = "dns tcp "
	inheritTLS   = "dns tls "
	inheritHTTPS = "dns https "
	inheritQUIC  = "dns quic "
)

// Inherit has Listen take those of the sockets that are for this server's
// addresses, in place of new ones. Queries that wait in them are answered here.
func (s *Server) Inherit(from *handover.Sockets) { s.inherited = from }

// Sockets adds copies of all sockets that the server listens on, for a process
// that takes over. Between Listen and the end of Serve.
func (s *Server) Sockets(to *handover.Sockets) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	add := func(name string, f *os.File, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			return
		}
		to.Add(name, f)
	}
	for _, l := range s.udp {
		f, err := l.file()
		add(inheritUDP+l.configured, f, err)
	}
	for _, l := range s.loops {
		if err := l.files(to); err != nil {
			errs = append(errs, err)
		}
	}
	for _, l := range s.listens {
		tcp, ok := l.ln.(*net.TCPListener)
		if !ok {
			add(l.name, nil, errors.ErrUnsupported)
			continue
		}
		f, err := tcp.File()
		add(l.name, f, err)
	}
	for _, l := range s.quic {
		f, err := l.conn.File()
		add(inheritQUIC+l.bound.String(), f, err)
	}
	return errors.Join(errs...)
}

// inheritDatagrams makes a socket of another process ours; f stays open.
func inheritDatagrams(f *os.File) (*net.UDPConn, error) {
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UDPConn)
	if !ok {
		c.Close()
		return nil, errors.New("what was handed over is no UDP socket")
	}
	return conn, nil
}

// listenOrInherit listens, with the socket of another process if there is one.
func listenOrInherit(ctx context.Context, network, addr string, inherited []*os.File) (net.Listener, error) {
	if len(inherited) == 0 {
		return listenTCP(ctx, network, addr)
	}
	return net.FileListener(inherited[0])
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
