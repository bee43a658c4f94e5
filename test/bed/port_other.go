//go:build !linux

package bed

import (
	"syscall"
	"testing"
)

func claim(int) bool { return true }

// Reserve gives an address of loopback that nobody has now: only on Linux is it kept.
func Reserve(t testing.TB, _ string) string {
	t.Helper()
	return FreeAddress(t)
}

// ReuseAddress is a net.ListenConfig.Control for who listens, over UDP, at a reserved address.
func ReuseAddress(string, string, syscall.RawConn) error { return nil }
