package dnsserver

import "fmt"

// Words of Config.Spread.
const (
	spreadHash = "hash"
	spreadCPU  = "cpu"
)

// spreadFault tells what is wrong with Spread, or "".
func (c Config) spreadFault() string {
	switch c.Spread {
	case spreadHash:
		return ""
	case spreadCPU:
	default:
		return fmt.Sprintf(`%q: must be "hash" or "cpu"`, c.Spread)
	}
	if !canBatch {
		return `"cpu": needs Linux`
	}
	listed, err := parseCPUs(c.Pin)
	switch {
	case c.Pin == pinOff:
		return `"cpu": needs workers that are kept on CPUs: set pin`
	case err == nil && len(listed) > 0 && c.Workers > len(listed):
		return fmt.Sprintf(`"cpu": %d workers on the %d CPUs of pin: some would get nothing`, c.Workers, len(listed))
	}
	return ""
}

// spreadCPUs are the CPUs of as many workers where Spread asks for them, else nil.
func (c Config) spreadCPUs(workers int, cpus []int) ([]int, error) {
	if c.Spread != spreadCPU || workers < 2 {
		return nil, nil
	}
	if workers > len(cpus) {
		return nil, fmt.Errorf(`spread "cpu": %d workers, but the process may use %d CPUs: some would get nothing`, workers, len(cpus))
	}
	return cpus[:workers], nil
}
