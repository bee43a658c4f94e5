package probe

import (
	"context"
	"fmt"
)

// udpProber is healthy when a datagram is answered, by one that matches where
// something is expected. What does not match is not yet a failure: another may
// come until the time is up.
type udpProber struct {
	place
	exchange
}

func newUDP(c Config, _ Target, address string, _ *means) (Prober, error) {
	e, err := newExchange(c)
	return &udpProber{placeOf(c, address), e}, err
}

func (p *udpProber) Probe(ctx context.Context) (Seen, error) {
	a := begin(ctx, p.place)
	defer a.end()
	if err := a.connect("udp"); err != nil { // connected, so that only the target's datagrams come in, and its refusals
		return Seen{}, err
	}
	if err := p.say(a); err != nil {
		return Seen{}, err
	}
	a.phase = listening
	var last []byte
	datagram := make([]byte, 64<<10)
	for range maxDatagrams {
		n, err := a.conn.Read(datagram)
		switch {
		case err != nil && last != nil && a.ctx.Err() != nil:
			return Seen{}, fmt.Errorf("answer from %s: %s does not match %q", a.address, excerpt(last), p.expect)
		case err != nil:
			return Seen{}, a.fault(err)
		case p.expect == nil || p.expect.Match(datagram[:n]):
			return Seen{}, nil
		}
		last = append([]byte{}, datagram[:n]...)
	}
	return Seen{}, fmt.Errorf("answer from %s: none of %d datagrams matches %q", a.address, maxDatagrams, p.expect)
}

// validateUDP checks what only udp asks for.
func (c Config) validateUDP(bad func(key, msg string)) {
	if c.Send == "" && c.SendHex == "" {
		bad("send", "is not set: nobody answers a datagram that was not sent; set send or send_hex")
	}
	c.validateExchange(bad)
}
