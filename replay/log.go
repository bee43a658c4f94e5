package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gslb/geo"
	"gslb/health"
	"gslb/steer"
)

// Topology is what steered: all of it that decisions are made from.
type Topology struct {
	Sites     []Site         `json:"sites"`
	Names     []Name         `json:"names"`
	Overrides []geo.Override `json:"overrides,omitempty"`
	Databases []geo.Source   `json:"databases,omitempty"` // as they were read; their times of loading don't count
}

// Site is a site with what it is answered as.
type Site struct {
	steer.Site
	CNAME     string   `json:"cname,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
}

// Name is a steered name.
type Name struct {
	Name   string       `json:"name"`
	Policy steer.Policy `json:"policy"` // names that steer alike share that of the first, and its draws
	CNAME  bool         `json:"cname"`  // it is answered with a CNAME
}

// Record is what was in force from At on.
type Record struct {
	At       time.Time      `json:"at"`
	Topology *Topology      `json:"topology,omitempty"` // nil: that of the record before, in the same file
	States   *health.States `json:"states"`
	// SameTimes: the States' Times are those of the record before, in the same file.
	SameTimes bool `json:"same_times,omitempty"`
}

// The bounds of a log: it has two files at most, the one being written and the one before.
const (
	maxFile = 16 << 20
	current = "replay.log"
	before  = "replay.old.log"
	// slow is how often loads and sheds alone, which change with each report, are recorded.
	slow = 10 * time.Second
)

// Log records. It is not safe for concurrent use.
type Log struct {
	dir  string
	file *os.File
	size int64
	most int64 // of a file
	last Record
	of   *Topology // that text is of
	text []byte    // of last.Topology
}

// Open goes on with the log in a folder, which it makes.
func Open(dir string) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, current), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, file: f, most: maxFile}
	if info, err := f.Stat(); err == nil {
		l.size = info.Size()
	}
	// What a crash has torn ends with a line of its own.
	if l.size > 0 {
		l.size++
		if _, err := f.WriteString("\n"); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return l, nil
}

// Close ends the log.
func (l *Log) Close() error { return l.file.Close() }

// Add records what is in force now, if it decides otherwise than what was before.
// t must not be changed any more.
func (l *Log) Add(now time.Time, t *Topology, states *health.States) error {
	text, err := l.text, error(nil)
	if t != l.of || text == nil {
		if text, err = json.Marshal(t); err != nil {
			return err
		}
	}
	r := Record{At: now.UTC(), States: slim(states)}
	same := bytes.Equal(text, l.text)
	if same && l.last.States != nil && alike(l.last.States, r.States, now.Sub(l.last.At) < slow) {
		l.of = t
		return nil
	}
	if l.size > l.most {
		if err := l.turn(); err != nil {
			return err
		}
		same = false
	}
	if !same {
		r.Topology = t
	}
	written := r
	if same && l.last.States != nil && sameTimes(l.last.States.Times, r.States.Times) && len(r.States.Times) > 0 {
		less := *r.States
		less.Times = nil
		written.States, written.SameTimes = &less, true
	}
	line, err := json.Marshal(written)
	if err != nil {
		return err
	}
	line = fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(line), line)
	n, err := l.file.Write(line)
	l.size += int64(n)
	if err != nil {
		l.of, l.text, l.last = nil, nil, Record{} // whatever was written, the next one stands alone
		_, _ = l.file.WriteString("\n")
		return err
	}
	l.of, l.last, l.text = t, r, text
	return nil
}

// turn begins a new file.
func (l *Log) turn() error {
	if err := l.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(l.dir, current), filepath.Join(l.dir, before)); err != nil {
		return err
	}
	next, err := Open(l.dir)
	if err != nil {
		return err
	}
	l.file, l.size = next.file, next.size
	return nil
}

// slim leaves out what explains states and does not decide.
func slim(states *health.States) *health.States {
	if states == nil {
		states = &health.States{}
	}
	out := *states
	out.Sites = make(map[string]health.Status, len(states.Sites))
	for name, st := range states.Sites {
		st.Votes = nil
		if len(st.Reports) > 0 { // that there are reports decides, not what they hold
			st.Reports = []health.Report{{Site: name, Node: st.Reports[0].Node, At: st.Reports[0].At}}
		}
		out.Sites[name] = st
	}
	return &out
}

// alike tells whether two States decide alike; loads and sheds count unless it is too soon.
func alike(a, b *health.States, soon bool) bool {
	if a.Stale != b.Stale || len(a.Sites) != len(b.Sites) || !maps.Equal(a.Releases, b.Releases) || !sameTimes(a.Times, b.Times) {
		return false
	}
	for name, x := range a.Sites {
		y, ok := b.Sites[name]
		if !ok || x.State != y.State || x.Draining != y.Draining || (x.Held == "") != (y.Held == "") || x.Withheld != y.Withheld || !slices.Equal(x.Generations, y.Generations) || (x.Override == nil) != (y.Override == nil) || (len(x.Reports) == 0) != (len(y.Reports) == 0) {
			return false
		}
		if x.Override != nil && *x.Override != *y.Override {
			return false
		}
		if !soon && (x.Shed != y.Shed || x.Load != y.Load || x.Capacity != y.Capacity) {
			return false
		}
	}
	return true
}

// sameTimes tells whether decisions by the one are those by the other; the times of States that follow
// one another are the same slice as long as they are the same.
func sameTimes(a, b []health.Times) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// ErrNothing tells that the log does not reach back so far.
var ErrNothing = errors.New("nothing is recorded of that time")

// Find reads what was in force at a time, with its Topology, from the log in a folder;
// bad counts the lines that could not be read. The error is ErrNothing if there is no record so old.
func Find(dir string, at time.Time) (found Record, bad int, err error) {
	first := time.Time{}
	var topology *Topology
	var times []health.Times
	for _, name := range []string{before, current} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return found, bad, err
		}
		in := bufio.NewScanner(bytes.NewReader(data))
		in.Buffer(nil, maxFile)
		for in.Scan() {
			if in.Text() == "" {
				continue
			}
			var r Record
			if !read(in.Text(), &r) {
				bad++
				continue
			}
			if r.Topology != nil {
				topology = r.Topology
			}
			if r.SameTimes {
				r.States.Times = times
			}
			times = r.States.Times
			if first.IsZero() {
				first = r.At
			}
			if !r.At.After(at) && topology != nil {
				r.Topology = topology
				found = r
			}
		}
		if err := in.Err(); err != nil {
			return found, bad, err
		}
	}
	if found.Topology == nil {
		if first.IsZero() {
			return found, bad, fmt.Errorf("%w: there is no record in %s", ErrNothing, dir)
		}
		return found, bad, fmt.Errorf("%w: the first record in %s is of %s", ErrNothing, dir, first.Format(time.RFC3339))
	}
	return found, bad, nil
}

func read(line string, r *Record) bool {
	sum, text, ok := strings.Cut(line, " ")
	return ok && sum == fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text))) && json.Unmarshal([]byte(text), r) == nil && r.States != nil
}

// SteerSites are the sites as the decision sees them.
func (t *Topology) SteerSites() []steer.Site {
	var out []steer.Site
	for _, s := range t.Sites {
		out = append(out, s.Site)
	}
	return out
}

// Find gives a steered name.
func (t *Topology) Find(name string) (Name, bool) {
	i := slices.IndexFunc(t.Names, func(n Name) bool { return strings.EqualFold(n.Name, name) })
	if i < 0 {
		return Name{}, false
	}
	return t.Names[i], true
}

// Differs says how databases are not those that were in use then; "" if they are.
func (t *Topology) Differs(now []geo.Source) string {
	if len(now) != len(t.Databases) {
		return fmt.Sprintf("%d databases were in use, there are %d now", len(t.Databases), len(now))
	}
	for i, then := range t.Databases {
		if now[i].Size != then.Size || !now[i].Built.Equal(then.Built) || now[i].Networks != then.Networks {
			return fmt.Sprintf("%s was that of %s (%d bytes), it is that of %s (%d bytes) now", then.Path, then.Built.Format(time.DateOnly), then.Size, now[i].Built.Format(time.DateOnly), now[i].Size)
		}
	}
	return ""
}
