// Package config reads gslb's configuration: TOML with what a node is ([node],
// [dns], [etcd], [api], [geo], [checker], [bgp]) and what the fleet serves, the topology ([[zone]],
// [[zones]], [dnssec.NAME], [tsig.NAME], [[site]], [[group]], [check.NAME],
// [[steer]], [[expect]], [[audience]], [[measured]], [health], [[geo.override]]); [[frontend]] may stand with either. Both may
// stand in one file or in several (include), and the topology apart, when it
// comes from etcd.
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
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"

	"gslb/balancer"
	"gslb/bgp"
	"gslb/console"
	"gslb/dnssec"
	"gslb/dnsserver"
	"gslb/geo"
	"gslb/health"
	"gslb/health/probe"
	"gslb/history"
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
	History   history.Config           `toml:"history"`
	Checker   Checker                  `toml:"checker"`
	Health    Health                   `toml:"health"`
	Breaker   health.BreakerConfig     `toml:"breaker"`
	Drain     health.DrainConfig       `toml:"drain"`
	API       console.Config           `toml:"api"`
	BGP       bgp.Config               `toml:"bgp"`
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
	Expects   []Expect                 `toml:"expect"`
	Audiences []Audience               `toml:"audience"`
	Measured  []Measured               `toml:"measured"`
	Frontends []balancer.Config        `toml:"frontend"`

	// Elsewhere are zones of a topology alone whose files are not on this machine:
	// each node has them.
	Elsewhere []zones.Config `toml:"-"`
	// Warnings are what works but is hardly meant, in the order of their lines.
	Warnings Problems `toml:"-"`

	lines    map[string]Problem // where some tables stand, for Fault
	parts    []string           // the files that travel with a topology, beside its own
	sources  []*source          // the files that it was read from, without what stands in them
	listed   int                // how many of Zones have a [[zone]] of their own
	fileless map[int]bool       // those of Zones that are read from no master file

	// For Reload:
	path     string
	texts    []text          // that it was made of
	includes []include       // how these were found
	listings []listing       // of each in ZoneFiles
	leaveOut map[string]bool // files that are no zones, while [[zones]] are listed
	loaded   *Config         // the configuration as it was loaded, whatever its owner has changed since
}

// Load reads and checks the file, with those that it includes. The error is
// Problems, with all of them; relative file names are relative to the directory
// of the file that they stand in. With node.topology = "etcd" it is what the node
// is, and serves nothing yet.
func Load(path string) (*Config, error) {
	r, tree := newReport(whole), map[string]any{}
	r.read(tree, path, false)
	c, err := r.config(tree)
	if err != nil {
		return nil, err
	}
	c.path, c.texts, c.includes = path, r.at.texts, r.at.includes
	loaded := *c
	c.loaded = &loaded
	return c, nil
}

// LoadBoth reads a node file with node.topology = "etcd" and the topology that
// is to be served by it, which stands apart.
func LoadBoth(node, topology string) (*Config, error) {
	r, tree := newReport(both), map[string]any{}
	r.read(tree, node, false)
	r.read(tree, topology, true)
	return r.config(tree)
}

// LoadTopology reads a topology alone, as it is for any node. Files with
// absolute names are those of the nodes, and need not be here.
func LoadTopology(path string) (*Config, error) {
	r, tree := newReport(alone), map[string]any{}
	r.read(tree, path, true)
	return r.config(tree)
}

// Parse checks a configuration that is at hand. Name stands for the file in
// messages; relative file names in the text are relative to dir.
func Parse(name string, data []byte, dir string) (*Config, error) {
	r, tree := newReport(whole), map[string]any{}
	r.parse(tree, name, data, dir, false)
	return r.config(tree)
}

// config makes a configuration of the tables of all files that were read.
func (r *report) config(tree map[string]any) (*Config, error) {
	c := &Config{}
	if !r.broken {
		r.place(tree)
		binder{r}.bind(reflect.ValueOf(c).Elem(), tree, "", nil)
		c.takeListed()
		c.complete(r)
		c.check(r)
		c.dropForeign(r)
		c.keepLines(r)
		for _, f := range r.at.files { // where keys stand, of a hundred thousand zones, is much
			c.sources = append(c.sources, &source{name: f.name, dir: f.dir, topology: f.topology})
		}
	}
	r.dropOfNode()
	r.errors.sort(r.at.order)
	r.warnings.sort(r.at.order)
	if len(r.errors.Problems) > 0 {
		return nil, r.errors.Problems
	}
	c.Warnings = r.warnings.Problems
	return c, nil
}

// syntaxProblem places the library's error. The offset is right also where its
// line is one too far, at the end of a line.
func syntaxProblem(s *source, err error) Problem {
	p := Problem{File: s.name, Line: 1, Column: 1, Message: "not TOML: " + err.Error()}
	var pe toml.ParseError
	if errors.As(err, &pe) {
		p.Line, p.Column = s.at.lineColumn(pe.Position.Start)
		p.Message = "not TOML: " + strings.TrimSuffix(pe.Message, ".")
		if strings.HasPrefix(pe.Message, `expected value but found "`) {
			p.Hint = "text stands in quotes"
		}
		if name := pe.LastKey[strings.LastIndexByte(pe.LastKey, '.')+1:]; strings.Contains(s.at.lineText(p.Line), name) {
			p.Key = pe.LastKey // otherwise it is a key before the fault
		}
	}
	return p
}
