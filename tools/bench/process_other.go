//go:build !linux

package main

import (
	"errors"
	"os/exec"
	"syscall"
	"time"
)

var errLinuxOnly = errors.New("only Linux is supported: pinning and CPU time come from its system calls and /proc")

// process stands for a server that runs; here there is none.
type process struct{ core int }

func startProcess(int, string, string, ...string) (*process, error) { return nil, errLinuxOnly }

func startOn(int, *exec.Cmd) error { return errLinuxOnly }

func (p *process) stop() {}

func (p *process) ended() bool { return true }

func (p *process) lastWords() string { return "" }

func (p *process) cpuTime() (time.Duration, error) { return 0, errLinuxOnly }

func (p *process) memory() int64 { return 0 }

func (p *process) signal(syscall.Signal) error { return errLinuxOnly }

func softirqTime(int) time.Duration { return 0 }

func ownTime() time.Duration { return 0 }

func processCPU(int) time.Duration { return 0 }

func serveEcho(string) error { return errLinuxOnly }

func kernelRelease() string { return "" }
