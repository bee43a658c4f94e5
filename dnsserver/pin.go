package dnsserver

import (
	"fmt"
	"strconv"
	"strings"
)

// Words of Config.Pin.
const (
	pinOff  = "off"
	pinAuto = "auto"
)

// maxCPU is the highest CPU number that can be named; a CPUSet has no more.
const maxCPU = 1023

// parseCPUs reads Config.Pin: the CPUs in the order of their use, none for off
// and auto. The form is that of cpuset(7): numbers and ranges, with commas.
func parseCPUs(s string) ([]int, error) {
	if s == "" || s == pinOff || s == pinAuto {
		return nil, nil
	}
	fault := fmt.Errorf(`%q: must be "auto", "off", or CPUs such as "0-3,6" (0 to %d)`, s, maxCPU)
	var all []int
	seen := make(map[int]bool)
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.ParseUint(low, 10, 16)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseUint(high, 10, 16)
		}
		if err != nil || last < first || last > maxCPU {
			return nil, fault
		}
		for cpu := int(first); cpu <= int(last); cpu++ {
			if seen[cpu] {
				return nil, fmt.Errorf("%q: CPU %d is listed twice", s, cpu)
			}
			seen[cpu] = true
			all = append(all, cpu)
		}
	}
	return all, nil
}

// cpus are those that workers are kept on, in turn; none when they are not.
func (c Config) cpus() []int {
	if c.Pin == pinAuto {
		return processCPUs()
	}
	all, _ := parseCPUs(c.Pin) // Validate has seen to it
	return all
}
