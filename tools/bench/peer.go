package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// peer is a kind of server that can take part: how it is found, told apart and set up.
type peer struct {
	name    string // on the command line
	title   string // on the page
	origin  string // where whoever misses it finds it
	binary  string // looked up in PATH, /usr/sbin and /usr/local/sbin
	version []string
	number  *regexp.Regexp // finds the version in what binary prints with the arguments version
	can     abilities
	// configure writes the configuration into s.dir and returns the arguments to
	// start the server with, in the foreground.
	configure func(s *setup) ([]string, error)
}

// abilities are what a server can be asked for.
type abilities struct {
	static   bool // serves plain zones
	steer    bool // answers by the client's country
	ecs      bool // takes the client from the EDNS Client Subnet
	operator bool // answers by the client's autonomous system
	signed   bool // serves a zone that was signed beforehand
}

// both are the abilities that both have.
func (a abilities) both(b abilities) abilities {
	return abilities{a.static && b.static, a.steer && b.steer, a.ecs && b.ecs, a.operator && b.operator, a.signed && b.signed}
}

// setup is what one server is configured for.
type setup struct {
	dir     string // its own, there already
	port    int    // on 127.0.0.1, UDP and TCP
	with    abilities
	workers int // threads or processes for UDP
	data    *dataset
}

// peers in the order of the page: those that are compared most stand together,
// since they are also measured in this order.
var peers = []peer{gslb, gdnsd, knot, nsd, bind, bindViews, powerdns, coredns}

func peerNames() []string {
	names := make([]string, len(peers))
	for i := range peers {
		names[i] = peers[i].name
	}
	return names
}

// path finds the peer's binary; tools holds what buildTools made.
func (p *peer) path(tools string) (string, bool) {
	if p.name == gslb.name {
		return filepath.Join(tools, p.binary), true
	}
	return findBinary(p.binary)
}

// findBinary looks also where users often have no PATH to.
func findBinary(name string) (string, bool) {
	if path, err := exec.LookPath(name); err == nil {
		return path, true
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, true
		}
	}
	return "", false
}

// versionOf asks the binary; what it does not tell is "unknown".
func (p *peer) versionOf(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if p.name == gslb.name {
		return gslbVersion(ctx)
	}
	out, _ := exec.CommandContext(ctx, path, p.version...).CombinedOutput() // some exit with 1 after their usage text
	if m := p.number.FindSubmatch(out); m != nil {
		return string(m[1])
	}
	return "unknown"
}

// gslbVersion is the commit that was built.
func gslbVersion(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--tags").Output()
	if err != nil {
		return "this source"
	}
	return "commit " + strings.TrimSpace(string(out))
}

// file is the path of a file of the server.
func (s *setup) file(name string) string { return filepath.Join(s.dir, name) }

// write writes files by name, with their directories.
func (s *setup) write(files map[string]string) error {
	for name, text := range files {
		path := s.file(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing the configuration: %w", err)
		}
	}
	return nil
}

// link makes a name for another file, for servers that go by a file's name.
func (s *setup) link(name, target string) error {
	if err := os.MkdirAll(filepath.Dir(s.file(name)), 0o755); err != nil {
		return err
	}
	return os.Symlink(target, s.file(name))
}

// plainZones are the zones that need nothing but a master file.
func (s *setup) plainZones() []plainZone { return append(s.fewZones(), s.data.many...) }

// fewZones are plainZones but for those that are many.
func (s *setup) fewZones() []plainZone {
	zones := []plainZone{{staticZone, s.data.static}}
	if s.with.signed {
		zones = append(zones, plainZone{signedZone, s.data.signed}, plainZone{paddedZone, s.data.padded})
	}
	return zones
}

type plainZone struct{ name, file string }
