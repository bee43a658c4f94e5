package bed

import (
	"os/exec"
	"runtime"
	"syscall"
)

// StartGrouped starts a program in a process group of its own, which keeps a
// terminal's Ctrl-C from it, and has it end when the test program itself is killed.
//
// That signal is sent when the thread ends that started the program (prctl(2),
// PR_SET_PDEATHSIG), and tests that enter a network namespace leave threads that
// end: so one thread that stays starts all programs.
func StartGrouped(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err := make(chan error)
	starter <- func() { err <- cmd.Start() }
	return <-err
}

var starter = func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
}()
