//go:build !linux

package dnsserver

import (
	"os"

	"gslb/handover"
)

// file is a copy of the socket.
func (l *udpListener) file() (*os.File, error) { return l.conn.File() }

func (*tcpLoop) files(*handover.Sockets) error { return nil }
