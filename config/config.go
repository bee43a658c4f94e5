// Package config reads gslb's configuration: a TOML file with what a node is
// ([node], [dns], [etcd], [api], [[frontend]]) and what the fleet serves
// ([[zone]], [[zones]], [dnssec.NAME], [tsig.NAME], [[site]], [[group]], [check.NAME], [[steer]], [geo]).
//
// It owns the file, its lines and what ties tables together: references by
// name, duplicates, paths, listens that collide. What a single table may say is
// the business of the room whose Config it fills; config calls the rooms'
// WithDefaults and Validate and turns the key paths that they name into lines.
// It opens no database and reads no zone: it only sees that the files are there.
//
// All faults are reported at once, each with file, line, column and key. A
// configuration with a fault is not returned at all, so nothing is ever half
// applied. What merely looks unintended is a warning.
package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"

	"gslb/balancer"
	"gslb/console"
	"gslb/dnssec"
	"gslb/dnsserver"
	"gslb/geo"
	"gslb/health/probe"
	"gslb/store"
	"gslb/transfer"
	"gslb/zones"
)

// Config is a whole configuration: valid, with defaults filled in, names in
// canonical form and paths absolute.
type Config struct {
	Node      Node                     `toml:"node"`
	DNS       dnsserver.Config         `toml:"dns"`
	Etcd      store.Config             `toml:"etcd"`
	Geo       geo.Config               `toml:"geo"`
	API       console.Config           `toml:"api"`
	Listed    []Zone                   `toml:"zone"` // gone once loaded: what is in it is in Zones and Moving
	Zones     []zones.Config           `toml:"-"`    // all that is served; those of ZoneFiles behind the listed ones
	Moving    []transfer.ZoneConfig    `toml:"-"`    // those that move between servers
	ZoneFiles []ZoneFiles              `toml:"zones"`
	DNSSEC    map[string]dnssec.Config `toml:"dnssec"`
	TSIG      map[string]transfer.Key  `toml:"tsig"`
	Sites     []Site                   `toml:"site"`
	Groups    []Group                  `toml:"group"`
	Checks    map[string]probe.Config  `toml:"check"`
	Steers    []Steer                  `toml:"steer"`
	Frontends []balancer.Config        `toml:"frontend"`

	// Warnings are what works but is hardly meant, in the order of their lines.
	Warnings Problems `toml:"-"`

	listed   int          // how many of Zones have a [[zone]] of their own
	fileless map[int]bool // those of Zones that are read from no master file
}

// Load reads and checks the file. The error is Problems, with all of them;
// relative file names in it are relative to the file's own directory.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, Problems{{File: path, Message: fmt.Sprintf("cannot read the configuration: %v", err)}}
	}
	return Parse(path, data, filepath.Dir(path))
}

// Parse checks a configuration that is at hand. Name stands for the file in
// messages; relative file names in the text are relative to dir.
func Parse(name string, data []byte, dir string) (*Config, error) {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	r := &report{file: name, dir: dir, at: scanPositions(text)}
	c := &Config{}
	if tree := r.decode(text); tree != nil {
		binder{r}.bind(reflect.ValueOf(c).Elem(), tree, "", nil)
		c.takeListed()
		c.complete(r)
		c.check(r)
	}
	r.errors.sort()
	r.warnings.sort()
	if len(r.errors.Problems) > 0 {
		return nil, r.errors.Problems
	}
	c.Warnings = r.warnings.Problems
	return c, nil
}

// decode parses the TOML. It returns nil after a fault of syntax: the library
// stops at the first, and what follows could only be guessed at.
func (r *report) decode(text string) map[string]any {
	var tree map[string]any
	_, err := toml.Decode(text, &tree)
	for _, again := range r.at.repeated {
		first, _ := r.at.lineColumn(again.first)
		line, column := r.at.lineColumn(again.second)
		r.errors.Problems = append(r.errors.Problems, Problem{
			File: r.file, Line: line, Column: column, Key: again.path,
			Message: fmt.Sprintf("set a second time, after line %d", first),
		})
	}
	if len(r.errors.Problems) > 0 {
		return nil
	}
	if err != nil {
		r.errors.Problems = append(r.errors.Problems, r.syntaxProblem(err))
		return nil
	}
	return tree
}

// syntaxProblem places the library's error. The offset is right also where its
// line is one too far, at the end of a line.
func (r *report) syntaxProblem(err error) Problem {
	p := Problem{File: r.file, Line: 1, Column: 1, Message: "not TOML: " + err.Error()}
	var pe toml.ParseError
	if errors.As(err, &pe) {
		p.Line, p.Column = r.at.lineColumn(pe.Position.Start)
		p.Message = "not TOML: " + strings.TrimSuffix(pe.Message, ".")
		if strings.HasPrefix(pe.Message, `expected value but found "`) {
			p.Hint = "text stands in quotes"
		}
		if name := pe.LastKey[strings.LastIndexByte(pe.LastKey, '.')+1:]; strings.Contains(r.at.lineText(p.Line), name) {
			p.Key = pe.LastKey // otherwise it is a key before the fault
		}
	}
	return p
}
