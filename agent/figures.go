package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Figures are what the agent has read.
type Figures struct {
	CPU         float64 // share of all processors that was busy since the last reading, 0 to 1
	Memory      float64 // share that is not available
	Queue       float64 // tasks that run or want to, for each processor
	Connections float64 // TCP sockets in use
	App         float64 // the application's own figure
	HasApp      bool
}

// reader reads figures of the machine from a proc file system (proc(5)).
type reader struct {
	proc       string
	busy, idle uint64 // at the last reading
}

func (r *reader) read(f *Figures) error {
	stat, err := os.ReadFile(filepath.Join(r.proc, "stat"))
	if err != nil {
		return err
	}
	if err := r.readStat(stat, f); err != nil {
		return fmt.Errorf("%s/stat: %w", r.proc, err)
	}
	info, err := os.ReadFile(filepath.Join(r.proc, "meminfo"))
	if err != nil {
		return err
	}
	total, free := field(info, "MemTotal:", 1), field(info, "MemAvailable:", 1)
	if total <= 0 {
		return fmt.Errorf("%s/meminfo: has no MemTotal", r.proc)
	}
	f.Memory = 1 - free/total
	f.Connections = 0
	for file, line := range map[string]string{"sockstat": "TCP:", "sockstat6": "TCP6:"} {
		text, err := os.ReadFile(filepath.Join(r.proc, "net", file))
		if err != nil {
			continue // without IPv6 there is none
		}
		f.Connections += field(text, line, 2)
	}
	return nil
}

func (r *reader) readStat(stat []byte, f *Figures) error {
	var busy, idle uint64
	processors := 0
	for line := range bytes.Lines(stat) {
		words := strings.Fields(string(line))
		switch {
		case len(words) > 5 && words[0] == "cpu":
			for i, w := range words[1:min(len(words), 9)] { // guest times are in user's
				n, err := strconv.ParseUint(w, 10, 64)
				if err != nil {
					return err
				}
				if i == 3 || i == 4 { // idle, iowait
					idle += n
				} else {
					busy += n
				}
			}
		case len(words) > 0 && strings.HasPrefix(words[0], "cpu"):
			processors++
		case len(words) == 2 && words[0] == "procs_running":
			n, err := strconv.ParseFloat(words[1], 64)
			if err != nil {
				return err
			}
			f.Queue = max(0, n-1) // the agent itself
		}
	}
	if processors == 0 {
		return fmt.Errorf("has no processors")
	}
	f.Queue /= float64(processors)
	if all := busy - r.busy + idle - r.idle; all > 0 {
		f.CPU = float64(busy-r.busy) / float64(all)
	}
	r.busy, r.idle = busy, idle
	return nil
}

// field is the number that is so many words behind the first of a line.
func field(text []byte, first string, behind int) float64 {
	for line := range bytes.Lines(text) {
		if words := strings.Fields(string(line)); len(words) > behind && words[0] == first {
			n, _ := strconv.ParseFloat(words[behind], 64)
			return n
		}
	}
	return 0
}
