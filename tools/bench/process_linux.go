package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a server that runs, with all processes that it started: they are
// one process group.
type process struct {
	cmd  *exec.Cmd
	core int           // that it is pinned to; -1: none
	log  string        // file with what it printed
	done chan struct{} // closed once the first process has ended
}

// startProcess starts a server on one core (-1: any) in dir. Whoever gets the
// process must stop it.
func startProcess(cpu int, dir, path string, args ...string) (*process, error) {
	p := &process{core: cpu, cmd: exec.Command(path, args...), log: filepath.Join(dir, "output.log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, log, log
	if err := startOn(cpu, p.cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	go func() { // ends with the process, which stop sees to
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// startOn starts cmd pinned to a core, as a group of its own, which a Ctrl-C at
// the terminal does not reach: stop ends it in order.
func startOn(cpu int, cmd *exec.Cmd) (err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if cpu < 0 {
		return cmd.Start()
	}
	// A child inherits the set of cores of the thread that forks it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, wanted unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	wanted.Set(cpu)
	if err := unix.SchedSetaffinity(0, &wanted); err != nil {
		return fmt.Errorf("pinning to core %d: %w", cpu, err)
	}
	defer func() { err = errors.Join(err, unix.SchedSetaffinity(0, &before)) }()
	return cmd.Start()
}

// stop ends the group, by force if it takes longer than five seconds, and waits.
func (p *process) stop() {
	group := -p.cmd.Process.Pid
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(group, syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
		}
	}
	_ = syscall.Kill(group, syscall.SIGKILL) // what is left of it, if anything
	<-p.done
}

// ended tells whether the first process is gone.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// lastWords is the end of what the process printed, for an error.
func (p *process) lastWords() string {
	const most = 400
	text, _ := os.ReadFile(p.log)
	text = bytes.TrimSpace(text)
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

// pids are the processes of the group.
func (p *process) pids() []int {
	var list []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil || processGroup(text) != p.cmd.Process.Pid {
			continue // ended meanwhile, or not ours
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		list = append(list, pid)
	}
	return list
}

// cpuTime is what the group's processes have used since they started, ended
// threads included.
func (p *process) cpuTime() (cpu time.Duration, err error) {
	for _, pid := range p.pids() {
		cpu += processCPU(pid)
	}
	if cpu == 0 {
		return 0, fmt.Errorf("process group %d: it has used no CPU time, which is that of a process that ended: %s", p.cmd.Process.Pid, p.lastWords())
	}
	return cpu, nil
}

// ownTime is the CPU time that this process has used.
func ownTime() time.Duration {
	var own unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &own) != nil {
		return 0
	}
	return time.Duration(own.Utime.Nano() + own.Stime.Nano())
}

// memory is what the group holds now, in octets: pages that several of its
// processes share are counted once (PSS).
func (p *process) memory() int64 {
	var octets int64
	for _, pid := range p.pids() {
		octets += proportionalMemory(filepath.Join("/proc", strconv.Itoa(pid)))
	}
	return octets
}

// signal tells the first process.
func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// softirqTime is the CPU time of the kernel's thread for network packets of a core
// (ksoftirqd), 0 if there is none that can be seen.
func softirqTime(core int) time.Duration {
	if core < 0 {
		return 0
	}
	want := fmt.Sprintf("ksoftirqd/%d\n", core)
	names, _ := filepath.Glob("/proc/[0-9]*/comm") // in the order of text: the low numbers are not first
	for _, file := range names {
		if text, err := os.ReadFile(file); err == nil && string(text) == want {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return processCPU(pid)
		}
	}
	return 0
}

// processCPU reads the CPU clock of another process, in nanoseconds, as
// clock_getcpuclockid(3) names it. The files in /proc/PID/task miss what ended
// threads ran, and /proc/PID/stat counts in hundredths of a second. 0 when the
// process is gone.
func processCPU(pid int) time.Duration {
	const whole = 2 // CPUCLOCK_SCHED, of all threads
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|whole), &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// processGroup reads the fifth field of /proc/PID/stat (proc(5)); the second, a
// name in parentheses, may contain anything.
func processGroup(stat []byte) int {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 3 {
		return 0
	}
	group, _ := strconv.Atoi(string(fields[2]))
	return group
}

func proportionalMemory(dir string) int64 {
	text, _ := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("Pss:")); ok {
			kib, _ := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
			return kib << 10
		}
	}
	return 0
}
