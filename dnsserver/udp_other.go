//go:build !linux

package dnsserver

import "context"

// canBatch tells whether this system can take several queries in one call.
const canBatch = false

func (l *udpListener) serveBatch(ctx context.Context, s *Server, w *responder, _ int) error {
	return l.serveSingly(ctx, s, w)
}
