package upkeep

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gslb/dnssec"
	"gslb/durable"
)

// A clock that is wrong makes signatures that nobody takes, and times at which
// keys are dropped. It cannot be told from a right one, but for what has been
// before: slack is how much earlier than that it may be, as clocks of nodes differ.
const (
	slack     = time.Hour
	markEvery = 10 * time.Minute
)

// clock remembers, over restarts too, until when time has come.
type clock struct {
	path string
	mu   sync.Mutex
	mark time.Time // in the file; guarded by mu
}

func openClock(path string) (*clock, error) {
	c := &clock{path: path}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	c.mark, err = time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
	if err != nil {
		return c, fmt.Errorf("%s: must be a time such as 2026-01-02T03:04:05Z: delete the file if the clock of this machine is right", path)
	}
	return c, nil
}

// check tells whether the clock can be right.
func (c *clock) check(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.mark.Add(-slack)) {
		return fmt.Errorf("the clock says %s, but zones were signed here at %s already: nothing is signed and no key is touched by a clock that was put back (if it is right now, delete %s)",
			stated(now), stated(c.mark), c.path)
	}
	return nil
}

// now is the time, or the mark where the clock was put back before that.
func (c *clock) now(now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.mark.Add(-slack)) {
		return c.mark
	}
	return now
}

// checkKeys tells whether keys can have been made before now.
func (c *clock) checkKeys(keys []*dnssec.Key, now time.Time) error {
	for _, k := range keys {
		if made := k.Timing.Created; made.After(now.Add(slack)) {
			return fmt.Errorf("the clock says %s, but key %s was made at %s: nothing is signed by a clock that is late", stated(now), k, stated(made))
		}
	}
	return nil
}

// reached notes that time has come to now.
func (c *clock) reached(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.mark.Add(markEvery)) && !now.Before(c.mark.Add(-markEvery)) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	if err := durable.WriteFile(c.path, 0o600, []byte(now.UTC().Format(time.RFC3339)+"\n")); err != nil {
		return err
	}
	c.mark = now
	return nil
}

func stated(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }
