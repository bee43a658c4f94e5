package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// place is where a probe goes, from where, and how long it may take.
type place struct {
	address string       // host:port, or a host for what knows no ports
	source  []netip.Addr // of this machine; none: as the system chooses
	timeout time.Duration
	// preamble is sent first over TCP.
	preamble string
}

func placeOf(c Config, address string) place {
	return place{address: address, source: c.Source, timeout: c.Timeout, preamble: c.Preamble}
}

// from is the address to probe a host from, if one is configured for its
// family. A host name has the family of the first one.
func (p place) from(host string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(host)
	for _, s := range p.source {
		if err != nil || s.Is4() == a.Unmap().Is4() {
			return s, true
		}
	}
	return netip.Addr{}, false
}

// attempt is one probe under way: its limits, its connection and how far it
// came, for the words of an error.
type attempt struct {
	ctx     context.Context // the caller's, with the timeout
	cancel  context.CancelFunc
	place   place
	address string // where it is now: a redirect leads elsewhere
	limit   time.Duration
	phase   phase
	conn    net.Conn
	unhook  func() bool
	// reset: the other side accepted the connection, and reset it before that was seen
	// here. A reset in place of the acceptance would be a refusal.
	reset bool
}

// phase is what an attempt is doing, in words that go before the address.
type phase struct {
	during string // "timeout while …"
	failed string // "…: connection refused"
}

var (
	connecting  = phase{"connecting to", "connect to"}
	handshaking = phase{"handshaking with", "tls handshake with"}
	requesting  = phase{"sending the request to", "request to"}
	awaiting    = phase{"waiting for headers from", "headers from"}
	reading     = phase{"reading the body from", "body from"}
	sending     = phase{"sending to", "send to"}
	listening   = phase{"waiting for an answer from", "answer from"}
)

// begin starts the clock of a probe of p. The caller must end it.
func begin(ctx context.Context, p place) *attempt {
	timeout := p.timeout
	if d, ok := ctx.Deadline(); ok {
		timeout = max(min(timeout, time.Until(d)), 0)
	}
	a := &attempt{place: p, address: p.address, limit: timeout}
	a.ctx, a.cancel = context.WithTimeout(ctx, timeout)
	return a
}

func (a *attempt) end() {
	a.cancel()
	a.hangUp()
}

// hangUp closes the connection, if there is one.
func (a *attempt) hangUp() {
	if a.conn != nil {
		a.unhook()
		_ = a.conn.Close() // it has served; nothing was written that could be lost
		a.conn = nil
	}
}

// connect opens a connection of the network ("tcp", "udp", "ip4:icmp" …). From
// then on the end of ctx ends every read and write.
func (a *attempt) connect(network string) error {
	a.phase = connecting
	d := net.Dialer{
		KeepAlive: -1,                            // it lives for one probe
		Resolver:  &net.Resolver{PreferGo: true}, // a blocked cgo resolver would hold an OS thread for each probe
	}
	d.SetMultipathTCP(false)
	host, _ := splitHost(a.address)
	if from, ok := a.place.from(host); ok {
		d.LocalAddr = localAddr(network, from)
	}
	began := time.Now()
	conn, err := d.DialContext(a.ctx, network, a.address)
	if err != nil {
		a.reset = errors.Is(err, syscall.ECONNRESET)
		return a.fault(err)
	}
	if _, err := netip.ParseAddr(host); err == nil && network == "tcp" { // else a name was looked up
		connected(a.ctx, time.Since(began))
	}
	a.take(conn)
	if network == "tcp" && a.place.preamble != "" {
		if _, err := io.WriteString(conn, a.place.preamble); err != nil {
			return a.fault(err)
		}
	}
	return nil
}

// take makes conn the attempt's.
func (a *attempt) take(conn net.Conn) {
	a.conn = conn
	a.unhook = context.AfterFunc(a.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

func localAddr(network string, from netip.Addr) net.Addr {
	switch ip := net.IP(from.AsSlice()); {
	case strings.HasPrefix(network, "udp"):
		return &net.UDPAddr{IP: ip, Zone: from.Zone()}
	case strings.HasPrefix(network, "ip"):
		return &net.IPAddr{IP: ip, Zone: from.Zone()}
	default:
		return &net.TCPAddr{IP: ip, Zone: from.Zone()}
	}
}

// fault says what went wrong, and in which phase.
func (a *attempt) fault(err error) error {
	switch cause := a.ctx.Err(); {
	case errors.Is(cause, context.DeadlineExceeded), cause == nil && errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("timeout after %v while %s %s", round(a.limit), a.phase.during, a.address)
	case cause != nil:
		return fmt.Errorf("ended early while %s %s: %w", a.phase.during, a.address, cause)
	}
	if local(err) {
		return fmt.Errorf("%w: %s %s: %s", ErrNotProbed, a.phase.failed, a.address, seen(err))
	}
	return fmt.Errorf("%s %s: %s", a.phase.failed, a.address, seen(err))
}

// local tells whether err is about this machine, not about the target.
// "Network is unreachable" is not among them: a router says so too, of a site
// whose routes are gone.
func local(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// seen is the core of a network error: the layers that wrap it repeat the
// addresses and the operation.
func seen(err error) string {
	var errno syscall.Errno
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var parse *net.AddrError
	text := err.Error()
	switch {
	case errors.As(err, &errno):
		text = errno.Error()
	case errors.As(err, &dns):
		text = fmt.Sprintf("look-up of %s: %s", dns.Name, dns.Err)
	case errors.As(err, &cert):
		text = cert.Err.Error()
	case errors.As(err, &parse):
		text = parse.Err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		text = "connection closed by the other side"
	}
	text = strings.TrimPrefix(strings.TrimPrefix(text, "tls: "), "x509: ")
	const bound = 300 // a server decides what is in some of these
	if len(text) > bound {
		text = strings.ToValidUTF8(text[:bound], "") + "…"
	}
	return text
}

// round makes a duration fit for people.
func round(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
