package differential

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the children, which are ended by
// their tests, and ends them when the test program itself is killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
