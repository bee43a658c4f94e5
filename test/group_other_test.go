//go:build !linux

package test

import "os/exec"

func startGrouped(cmd *exec.Cmd) error { return cmd.Start() }
