//go:build !linux

package balancer

import (
	"errors"
	"syscall"
)

const canFreebind = false

func freebindControl(_, _ string, _ syscall.RawConn) error {
	return errors.New("an address that is not there cannot be listened at on this system")
}
