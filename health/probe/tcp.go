package probe

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// tcpProber is healthy when a connection is accepted and, where something is
// expected, what comes back matches. A connection alone is the kernel's word, not
// the application's: a server that hangs still passes. Expect something, or use
// http where there is one.
type tcpProber struct {
	place
	exchange
}

func newTCP(c Config, _ Target, address string, _ *means) (Prober, error) {
	e, err := newExchange(c)
	return &tcpProber{placeOf(c, address), e}, err
}

func (p *tcpProber) Probe(ctx context.Context) (Seen, error) {
	a := begin(ctx, p.place)
	defer a.end()
	if err := a.connect("tcp"); err != nil {
		if a.reset && len(p.send) == 0 && p.expect == nil {
			return Seen{}, nil
		}
		return Seen{}, err
	}
	if err := p.say(a); err != nil {
		return Seen{}, err
	}
	return Seen{}, p.hear(a)
}

// exchange is what is sent and what has to come back, on a stream or in datagrams.
type exchange struct {
	send   []byte
	expect *regexp.Regexp // nil: nothing is waited for
}

func newExchange(c Config) (exchange, error) {
	e := exchange{send: []byte(c.Send)}
	var err, err2 error
	if c.SendHex != "" {
		e.send, err = hex.DecodeString(c.SendHex)
	}
	if c.Expect != "" {
		e.expect, err2 = regexp.Compile(c.Expect)
	}
	return e, errors.Join(err, err2)
}

func (e exchange) say(a *attempt) error {
	if len(e.send) == 0 {
		return nil
	}
	a.phase = sending
	if _, err := a.conn.Write(e.send); err != nil {
		return a.fault(err)
	}
	return nil
}

// hear reads until what has come matches.
func (e exchange) hear(a *attempt) error {
	if e.expect == nil {
		return nil
	}
	a.phase = listening
	heard, chunk := []byte(nil), make([]byte, 4096)
	for {
		n, err := a.conn.Read(chunk)
		heard = append(heard, chunk[:n]...)
		switch {
		case n > 0 && e.expect.Match(heard):
			return nil
		case len(heard) >= maxRead:
			return fmt.Errorf("answer from %s: nothing in the first %d KiB matches %q", a.address, maxRead>>10, e.expect)
		case err == nil:
		case len(heard) > 0 && (errors.Is(err, io.EOF) || a.ctx.Err() != nil):
			return fmt.Errorf("answer from %s: %s does not match %q", a.address, excerpt(heard), e.expect)
		default:
			return a.fault(err)
		}
	}
}

// excerpt is the begin of what a server sent, in quotes.
func excerpt(b []byte) string {
	const bound = 60
	if len(b) > bound {
		return fmt.Sprintf("%q…", b[:bound])
	}
	return fmt.Sprintf("%q", b)
}

// validateExchange checks send, send_hex and expect.
func (c Config) validateExchange(bad func(key, msg string)) {
	if c.Send != "" && c.SendHex != "" {
		bad("send_hex", "must not stand beside send: one of them is sent")
	}
	if _, err := hex.DecodeString(c.SendHex); err != nil {
		bad("send_hex", fmt.Sprintf(`%q: must be octets in hexadecimal, two digits each, such as "0d0a"`, c.SendHex))
	}
	if len(c.Send) > maxSend || len(c.SendHex) > 2*maxSend {
		bad("send", fmt.Sprintf("is longer than %d octets", maxSend))
	}
	validatePattern("expect", c.Expect, bad)
}

// validatePattern checks a regular expression; an empty one is none.
func validatePattern(key, pattern string, bad func(key, msg string)) {
	if _, err := regexp.Compile(pattern); err != nil {
		bad(key, fmt.Sprintf("%q: is no regular expression (RE2): %s", pattern, patternFault(err)))
	}
}
