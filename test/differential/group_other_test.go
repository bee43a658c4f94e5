//go:build !linux

package differential

import "syscall"

func ownGroup() *syscall.SysProcAttr { return nil }
