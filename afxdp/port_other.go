//go:build !linux

package afxdp

import "context"

// Port is the queues of one interface.
type Port struct{ cfg Config }

// New makes a port that Run serves.
func New(cfg Config) *Port { return &Port{cfg: cfg} }

// Run reports that AF_XDP does not exist here.
func (p *Port) Run(ctx context.Context) error { return ErrUnsupported }

// Status tells so too.
func (p *Port) Status() Status {
	return Status{Interface: p.cfg.Interface, Problem: ErrUnsupported.Error()}
}
