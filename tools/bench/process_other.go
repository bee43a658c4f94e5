//go:build !linux

package main

import (
	"errors"
	"os/exec"
	"time"
)

var errLinuxOnly = errors.New("only Linux is supported: pinning and CPU time come from its system calls and /proc")

// process stands for a server that runs; here there is none.
type process struct{}

func startProcess(int, string, string, ...string) (*process, error) { return nil, errLinuxOnly }

func startOn(int, *exec.Cmd) error { return errLinuxOnly }

func (p *process) stop() {}

func (p *process) ended() bool { return true }

func (p *process) lastWords() string { return "" }

func (p *process) usage() (cpu time.Duration, memory int64, err error) { return 0, 0, errLinuxOnly }

func serveEcho(string) error { return errLinuxOnly }

func kernelRelease() string { return "" }
