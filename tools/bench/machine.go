package main

import (
	"bufio"
	"cmp"
	"os"
	"runtime"
	"strings"
)

// machine is what the figures were found on.
type machine struct {
	kernel     string
	cpu        string
	cores      int
	compiler   string
	loadBefore string // of one, five and fifteen minutes
	loadAfter  string
}

func thisMachine() machine {
	return machine{kernel: kernelRelease(), cpu: cpuModel(), cores: runtime.NumCPU(), compiler: runtime.Version(), loadBefore: loadAverage()}
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return cmp.Or(strings.TrimSpace(value), runtime.GOARCH)
		}
	}
	return runtime.GOARCH
}

// loadAverage is "unknown" where the system does not tell.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 3 {
		return "unknown"
	}
	return strings.Join(fields[:3], " ")
}
