//go:build !linux

package test

import "syscall"

func ownGroup() *syscall.SysProcAttr { return nil }
