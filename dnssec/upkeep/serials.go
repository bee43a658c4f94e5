package upkeep

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"gslb/durable"
)

// serials remembers, over restarts too, the serial numbers that zones are served
// with where these come from signing: a number must never come twice for two
// versions of a zone (RFC 1034, section 4.3.5). The file has a line for each zone,
// its name and the number.
type serials struct {
	path string
	mu   sync.Mutex
	last map[string]uint32 // in the file; guarded by mu
}

func openSerials(path string) (*serials, error) {
	s := &serials{path: path}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.last = make(map[string]uint32)
	line := 0
	for text := range strings.Lines(string(text)) {
		line++
		name, number, ok := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
		n, err := strconv.ParseUint(number, 10, 32)
		if !ok || err != nil {
			return s, fmt.Errorf("%s:%d: must be a zone's name and its serial number: write it so, or delete the file, and see that the serial numbers of signed zones are newer than those that secondary servers have", path, line)
		}
		s.last[name] = uint32(n)
	}
	return s, nil
}

// keep has the numbers on disk when it returns.
func (s *serials) keep(numbers map[string]uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if maps.Equal(numbers, s.last) {
		return nil
	}
	err := os.MkdirAll(filepath.Dir(s.path), 0o700)
	if err == nil {
		err = durable.Write(s.path, 0o600, func(w io.Writer) error {
			b := bufio.NewWriter(w)
			for _, name := range slices.Sorted(maps.Keys(numbers)) {
				fmt.Fprintf(b, "%s %d\n", name, numbers[name])
			}
			return b.Flush()
		})
	}
	if err == nil {
		s.last = numbers
	}
	return err
}

// Serials gives the serial numbers that zones were served with last (see
// KeepSerials), by their names. They must not be changed.
func (k *Keeper) Serials() map[string]uint32 {
	k.serials.mu.Lock()
	defer k.serials.mu.Unlock()
	return k.serials.last
}

// KeepSerials writes the serial numbers that zones are about to be served with,
// and has them on disk when it returns. The map must not be changed any more.
func (k *Keeper) KeepSerials(numbers map[string]uint32) error { return k.serials.keep(numbers) }
