//go:build !linux

package bed

import "os/exec"

// StartGrouped starts a program.
func StartGrouped(cmd *exec.Cmd) error { return cmd.Start() }

// Memory gives no folder: see the one for Linux.
func Memory() string { return "" }
