//go:build !linux

package balancer

import (
	"errors"
	"syscall"
)

func mayBeTransparent() error { return errors.New("servers see the client's address on Linux alone") }

func transparent(bool, syscall.RawConn) error { return mayBeTransparent() }
