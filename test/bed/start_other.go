//go:build !linux

package bed

import "os/exec"

// StartGrouped starts a program.
func StartGrouped(cmd *exec.Cmd) error { return cmd.Start() }
