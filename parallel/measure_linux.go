package parallel

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ticksInSecond is USER_HZ, in which Linux counts for users on all systems that Go knows (proc(5)).
const ticksInSecond = 100

// measureProcessors reads /proc/stat for the CPUs that this process may use, and
// the process's own time.
func measureProcessors() (processorUse, bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return processorUse{}, false
	}
	var set unix.CPUSet
	var own unix.Rusage
	if unix.SchedGetaffinity(0, &set) != nil || unix.Getrusage(unix.RUSAGE_SELF, &own) != nil {
		return processorUse{}, false
	}
	use := usable(text, set.IsSet)
	use.own = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	return use, use.n > 0
}

// threadTime gives the caller's thread and the processor time that it has used.
func threadTime() (id int, used time.Duration) {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0, 0
	}
	return unix.Gettid(), time.Duration(t.Nano())
}

// usable adds up the times of the CPUs that count: those that idled, waited for a
// disk, or worked for processes of low priority (nice), which give way.
func usable(stat []byte, counts func(cpu int) bool) processorUse {
	var use processorUse
	for line := range bytes.Lines(stat) {
		rest, isCPU := bytes.CutPrefix(line, []byte("cpu"))
		if !isCPU {
			break // the CPUs come first
		}
		fields := bytes.Fields(rest) // number, user, nice, system, idle, iowait …
		if bytes.HasPrefix(rest, []byte(" ")) || len(fields) < 6 {
			continue // of all of them
		}
		cpu, err := strconv.Atoi(string(fields[0]))
		if err != nil || !counts(cpu) {
			continue
		}
		for _, i := range [...]int{2, 4, 5} {
			ticks, _ := strconv.ParseInt(string(fields[i]), 10, 64)
			use.idle += time.Duration(ticks) * (time.Second / ticksInSecond)
		}
		use.n++
	}
	return use
}
