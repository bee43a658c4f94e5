package probe

import (
	"context"
	"time"
)

// tcpProber is healthy when a connection is accepted. That is the kernel's word,
// not the application's: a server that hangs still passes. Use http where there is one.
type tcpProber struct {
	address string
	timeout time.Duration
}

func newTCP(c Config, address string, _ *authorities) (Prober, error) {
	return &tcpProber{address: address, timeout: c.Timeout}, nil
}

func (p *tcpProber) Probe(ctx context.Context) error {
	a := begin(ctx, p.address, p.timeout)
	defer a.end()
	return a.connect()
}
