package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"gslb/durable"
	"gslb/health"
)

// saveGap is the least time between two writes of the memory.
const saveGap = time.Second

// memory is what a Runner knows of its life before: the targets that were down.
// Only these are worth keeping: what is Unknown is served like what is Up, and
// a memory must not vouch for anything.
type memory struct {
	path  string
	down  map[Target]remembered // what was read, until a check takes it
	dirty chan struct{}         // 1 deep: a verdict changed
}

// remembered is one target that was down.
type remembered struct {
	Target Target    `json:"target"`
	Since  time.Time `json:"since"`
	Detail string    `json:"detail"`
}

// Remember makes r keep in the file at path which targets are down, while it
// runs, and take from there which were: Set begins these as down, until the
// first success, instead of as Unknown. It comes before the first Set. A file that
// is not there is none; of one that cannot be read the error tells, and it is
// written anew.
func (r *Runner) Remember(path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.memory = &memory{path: path, down: map[Target]remembered{}, dirty: make(chan struct{}, 1)}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var all []remembered
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		return fmt.Errorf("remembered verdicts %s: %w", path, err)
	}
	for _, d := range all {
		r.memory.down[d.Target] = d
	}
	return nil
}

// recall gives a new unit the verdict that its target had before. r.mu is held.
func (r *Runner) recall(target Target, u *unit) {
	if r.memory == nil {
		return
	}
	if d, ok := r.memory.down[target]; ok && u.machine.State() == health.Unknown {
		u.detail = "before the restart: " + d.Detail
		u.machine.Recall(d.Since, u.detail)
		delete(r.memory.down, target)
	}
}

// keep writes the memory when verdicts have changed, until ctx ends, and then
// once more. A fault is logged once.
func (r *Runner) keep(ctx context.Context, m *memory) {
	faulty := false
	save := func() {
		err := m.write(r.Results())
		if err != nil && !faulty {
			r.log.Error("verdicts not written: a restart would know less", "error", err)
		}
		faulty = err != nil
	}
	for {
		select {
		case <-ctx.Done():
			save()
			return
		case <-m.dirty:
		}
		save()
		select {
		case <-ctx.Done():
		case <-time.After(saveGap):
		}
	}
}

// write replaces the file: a crash leaves the old one or the new one.
func (m *memory) write(results []Result) error {
	down := []remembered{}
	for _, res := range results {
		if res.State == health.Down {
			down = append(down, remembered{res.Target, res.Since, res.Detail})
		}
	}
	data, err := json.Marshal(down)
	if err != nil {
		return err
	}
	return durable.WriteFile(m.path, 0o600, data)
}
