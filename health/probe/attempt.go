package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// attempt is one probe under way: its limits, its connection and how far it
// came, for the words of an error.
type attempt struct {
	ctx     context.Context // the caller's, with the timeout
	cancel  context.CancelFunc
	address string
	limit   time.Duration
	phase   phase
	conn    net.Conn
	unhook  func() bool
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
)

// begin starts the clock of a probe of address. The caller must end it.
func begin(ctx context.Context, address string, timeout time.Duration) *attempt {
	if d, ok := ctx.Deadline(); ok {
		timeout = max(min(timeout, time.Until(d)), 0)
	}
	a := &attempt{address: address, limit: timeout}
	a.ctx, a.cancel = context.WithTimeout(ctx, timeout)
	return a
}

func (a *attempt) end() {
	a.cancel()
	if a.conn != nil {
		a.unhook()
		_ = a.conn.Close() // it has served; nothing was written that could be lost
	}
}

// connect opens the connection. From then on the end of ctx ends every read and write.
func (a *attempt) connect() error {
	a.phase = connecting
	d := net.Dialer{
		KeepAlive: -1,                            // it lives for one probe
		Resolver:  &net.Resolver{PreferGo: true}, // a blocked cgo resolver would hold an OS thread for each probe
	}
	d.SetMultipathTCP(false)
	conn, err := d.DialContext(a.ctx, "tcp", a.address)
	if err != nil {
		return a.fault(err)
	}
	a.conn = conn
	a.unhook = context.AfterFunc(a.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return nil
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
