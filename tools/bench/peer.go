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
	steer bool // answers by the client's country
	ecs   bool // takes the client from the EDNS Client Subnet
}

// setup is what one server is configured for.
type setup struct {
	dir   string // its own, there already
	port  int    // on 127.0.0.1, UDP and TCP
	steer bool   // with the steered name
	data  *dataset
}

// peers in the order of the page.
var peers = []peer{gslb, knot, bind, nsd, gdnsd, powerdns, coredns}

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
	if path, err := exec.LookPath(p.binary); err == nil {
		return path, true
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} { // often not in the PATH of users
		if path, err := exec.LookPath(filepath.Join(dir, p.binary)); err == nil {
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
		out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--tags").Output()
		if err != nil {
			return "this source"
		}
		return "commit " + strings.TrimSpace(string(out))
	}
	out, _ := exec.CommandContext(ctx, path, p.version...).CombinedOutput() // some exit with 1 after their usage text
	if m := p.number.FindSubmatch(out); m != nil {
		return string(m[1])
	}
	return "unknown"
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
