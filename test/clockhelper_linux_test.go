//go:build amd64 || arm64

package test

import (
	"context"
	byteorder "encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gslb/test/bed"
)

// A program under a clock that a test moves. A real one: what time.Now gives it is what
// this process answers, while its monotonic clock goes on as ever, as when an
// operator or a broken NTP server sets a machine's clock.
//
// Go reads the clock in the vDSO, without a system call, so that a preloaded
// library changes nothing. So the program is stopped as it is executed, its auxiliary
// vector is told that there is no vDSO (AT_SYSINFO_EHDR becomes AT_IGNORE), and it runs under a
// seccomp filter that leaves clock_gettime of the wall clock to this process
// (seccomp_unotify(2)). Timestamps of files are the kernel's: they do not jump.

// clockHelper runs "helper OFFSET-FILE PROGRAM ARGUMENTS…"; clockExec is its second
// half, which becomes the program.
const (
	clockHelper = "clock"
	clockExec   = "clock-exec"
)

// clock is how far the wall clock of a program is from this machine's.
type clock struct {
	file string
	word []byte
}

// newClock makes a clock that is right.
func newClock(t testing.TB, dir, name string) *clock {
	t.Helper()
	c := &clock{file: write(t, dir, name+".clock", string(make([]byte, 8)))}
	var err error
	if c.word, err = mapClock(c.file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(c.word) })
	return c
}

func mapClock(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

func offset(word []byte) *atomic.Int64 { return (*atomic.Int64)(unsafe.Pointer(&word[0])) }

// jump sets the clock wrong by so much; 0 sets it right.
func (c *clock) jump(by time.Duration) { offset(c.word).Store(int64(by)) }

// words are those before a command that is to run under the clock.
func (c *clock) words(t testing.TB) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{"env", helperVariable + "=" + clockHelper, self, c.file}
}

func init() {
	helpers[clockHelper], helpers[clockExec] = runUnderClock, becomeUnderClock
	switch os.Getenv(helperVariable) {
	case clockHelper, clockExec:
		runtime.LockOSThread() // the thread that is traced, and the one that traces, is the main one
	}
}

// runUnderClock starts the program, says what time it is when it asks, hands it the
// signals to end, and ends as it does.
func runUnderClock(ctx context.Context, args []string) error {
	word, err := mapClock(args[0])
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	theirs := os.NewFile(uintptr(pair[1]), "pair")
	cmd := exec.Command(self, args[1:]...)
	cmd.Env = append(os.Environ(), helperVariable+"="+clockExec)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	theirs.Close()
	listener, err := receiveDescriptor(pair[0])
	if err == nil {
		err = hideVDSO(cmd.Process.Pid)
	}
	if err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	go answerClock(listener, word)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		if err = cmd.Process.Signal(syscall.SIGTERM); err == nil {
			err = <-ended
		}
	}
	return err
}

func receiveDescriptor(from int) (int, error) {
	space := make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := unix.Recvmsg(from, make([]byte, 1), space, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("no listener came: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(space[:oobn])
	if err != nil || len(messages) != 1 {
		return 0, fmt.Errorf("%d messages: %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return 0, fmt.Errorf("%d descriptors: %w", len(fds), err)
	}
	return fds[0], nil
}

// hideVDSO waits until the process is executed, and has it go on without a vDSO.
func hideVDSO(pid int) error {
	for {
		var status unix.WaitStatus
		if _, err := unix.Wait4(pid, &status, 0, nil); err != nil || !status.Stopped() {
			return fmt.Errorf("waiting for the program's start: %v, status %#x", err, status)
		}
		if status.StopSignal() == unix.SIGTRAP {
			break
		}
		if err := unix.PtraceCont(pid, 0); err != nil { // the runtime of its first half signals to itself
			return err
		}
	}
	vector, err := os.ReadFile(fmt.Sprintf("/proc/%d/auxv", pid))
	if err != nil {
		return err
	}
	// The vector lies on the stack, behind arguments and environment: argc is where the stack ends.
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	at, err := auxiliaryVector(memory, int64(stackOf(&regs)))
	if err != nil {
		return err
	}
	const ignore, sysinfoEHDR = 1, 33 // elf.h: AT_IGNORE, AT_SYSINFO_EHDR
	for i := 0; i+16 <= len(vector); i += 16 {
		if byteorder.NativeEndian.Uint64(vector[i:]) == sysinfoEHDR {
			if _, err := memory.WriteAt(byteorder.NativeEndian.AppendUint64(nil, ignore), at+int64(i)); err != nil {
				return err
			}
		}
	}
	return unix.PtraceDetach(pid)
}

// auxiliaryVector finds its address above a new program's stack pointer: argc, argv, 0, envp, 0, the vector.
func auxiliaryVector(memory *os.File, at int64) (int64, error) {
	word := make([]byte, 8)
	at += 8 // argc
	for range 2 {
		for {
			if _, err := memory.ReadAt(word, at); err != nil {
				return 0, err
			}
			if at += 8; byteorder.NativeEndian.Uint64(word) == 0 {
				break
			}
		}
	}
	return at, nil
}

// notification and response are struct seccomp_notif and seccomp_notif_resp of linux/seccomp.h.
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type response struct {
	id           uint64
	val          int64
	errno, flags int32
}

// answerClock answers until the program has ended.
func answerClock(listener int, word []byte) {
	runtime.LockOSThread()
	for {
		var n notification
		switch errno := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); errno {
		case 0:
		case unix.EINTR, unix.ENOENT: // ENOENT: it ended as it asked
			continue
		default:
			return
		}
		r := response{id: n.id}
		now := time.Now().UnixNano() + offset(word).Load()
		spec := unix.NsecToTimespec(now)
		local := []unix.Iovec{{Base: (*byte)(unsafe.Pointer(&spec)), Len: uint64(unsafe.Sizeof(spec))}}
		remote := []unix.RemoteIovec{{Base: uintptr(n.args[1]), Len: int(unsafe.Sizeof(spec))}}
		if _, err := unix.ProcessVMWritev(int(n.pid), local, remote, 0); err != nil {
			var errno unix.Errno
			errors.As(err, &errno)
			r.errno = -int32(errno)
		}
		// That the thread has gone meanwhile, and its number is another's, cannot be: it waits (WAIT_KILLABLE_RECV)
		// for this answer, and only the end of its process ends that.
		_ = ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)) // fails only when it ended
	}
}

func ioctl(fd int, request uint, p unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(p))
	return errno
}

// becomeUnderClock is the second half: it has itself traced and filtered, gives the
// listener away and becomes the program.
func becomeUnderClock(_ context.Context, args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0); errno != 0 {
		return fmt.Errorf("ptrace: %w", errno)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := clockFilter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	listener, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(listener)), nil, 0); err != nil {
		return err
	}
	unix.Close(3)
	os.Unsetenv(helperVariable)
	return unix.Exec(path, args, os.Environ())
}

// clockFilter sends clock_gettime of CLOCK_REALTIME and of CLOCK_REALTIME_COARSE to the listener.
func clockFilter() []unix.SockFilter {
	const nr, arg0 = 0, 16 // offsets in struct seccomp_data; the low half of the first argument (little endian)
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	jump := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	return []unix.SockFilter{
		load(nr),
		jump(unix.SYS_CLOCK_GETTIME, 0, 3),
		load(arg0),
		jump(unix.CLOCK_REALTIME, 2, 0),
		jump(unix.CLOCK_REALTIME_COARSE, 1, 0),
		ret(unix.SECCOMP_RET_ALLOW),
		ret(unix.SECCOMP_RET_USER_NOTIF),
	}
}

// needClock asks for a kernel that does all this.
func needClock(t testing.TB) {
	t.Helper()
	c := newClock(t, t.TempDir(), "probe")
	if out, err := exec.Command(c.words(t)[0], append(c.words(t)[1:], "true")...).CombinedOutput(); err != nil {
		bed.Missing(t, "the clock of a program cannot be moved here: %v: %s", err, out)
	}
}
