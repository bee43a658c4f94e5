package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"gslb/durable"
)

// What an operator says of the server.
const (
	Ready = "ready" // its figures decide
	Drain = "drain" // no new connections
	Maint = "maint" // in maintenance: likewise, and no failure
)

// WriteState writes what an operator says to the file that the agent reads, with a reason.
func WriteState(path, state, why string) error {
	if strings.ContainsAny(why, "\r\n#") {
		return fmt.Errorf("the reason %q: must be one line without #", why)
	}
	return durable.WriteFile(path, 0o644, []byte(strings.TrimSpace(state+" "+why)+"\n"))
}

// ReadState returns what WriteState wrote; Ready if it did not.
func ReadState(path string) (state, why string, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Ready, "", nil
	}
	if err != nil {
		return Ready, "", err
	}
	state, why, _ = strings.Cut(strings.TrimSpace(string(data)), " ")
	switch state {
	case Ready, Drain, Maint:
		return state, why, nil
	}
	return Ready, "", fmt.Errorf("%s: %.20q: must be %s, %s or %s", path, state, Ready, Drain, Maint)
}
