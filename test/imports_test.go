package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rooms is the drawing of docs/architecture.md: what each room may import of
// this module, besides itself. Imports only go down.
//
//	6  cmd/gslb      wires everything
//	5  console -> steer zones health balancer store history forecast bgp steady      config -> the rooms' Config types
//	4  dnsserver -> zones steer geo health afxdp dnsname stamp quota networks handover waits proxyproto steady      transfer -> zones dnsname durable parallel steady
//	3  zones -> steer geo dnssec dnsname stamp parallel      balancer -> health health/probe store waits durable quota networks handover proxyproto clienthello balancer/kernel balancer/nft balancer/bpf      forecast -> steer geo health parallel     replay -> steer geo health     agent -> health/probe durable
//	2  balancer/nft balancer/bpf -> balancer/kernel networks     bgp/speaker -> bgp     steer -> geo health         health/probe -> health durable steady         health/fleet -> health geo store history steady        dnssec/upkeep -> dnssec dnsname durable steady
//	1  geo -> stamp parallel       dnssec -> dnsname durable      store -> durable      history -> store durable steady
//	0  health   afxdp   dnsname   stamp   folders   parallel   durable   quota   networks   handover   balancer/kernel   waits   proxyproto   clienthello   bgp   steady
var rooms = map[string][]string{
	"dnsname":      {},
	"bgp":          {},
	"bgp/speaker":  {"bgp"},
	"stamp":        {},
	"folders":      {},
	"parallel":     {},
	"durable":      {},
	"health":       {},
	"store":        {"durable"},
	"afxdp":        {},
	"quota":        {},
	"waits":        {},
	"networks":     {},
	"proxyproto":   {},
	"clienthello":  {},
	"handover":     {},
	"steady":       {},
	"history":      {"store", "durable", "steady"},
	"geo":          {"stamp", "parallel"},
	"dnssec":       {"dnsname", "durable"},
	"steer":        {"geo", "health"},
	"health/probe": {"health", "durable", "steady"},
	"agent":        {"health/probe", "durable"},
	"health/fleet": {"health", "geo", "store", "history", "steady"},
	"zones":        {"steer", "geo", "dnssec", "dnsname", "stamp", "parallel"},
	"balancer":     {"health", "health/probe", "store", "durable", "quota", "networks", "handover", "proxyproto", "clienthello", "balancer/kernel", "balancer/nft", "balancer/bpf", "waits"},
	"dnsserver":    {"zones", "steer", "geo", "health", "afxdp", "dnsname", "stamp", "quota", "networks", "handover", "waits", "proxyproto", "steady"},
	"transfer":     {"zones", "dnsname", "durable", "parallel", "steady"},
	"forecast":     {"steer", "geo", "health", "parallel"},
	"replay":       {"steer", "geo", "health"},
	"console":      {"forecast", "history", "steer", "zones", "health", "health/fleet", "balancer", "store", "bgp", "steady"},
	"config":       {"history", "parallel", "dnssec", "geo", "health", "health/probe", "store", "steer", "zones", "dnsserver", "transfer", "balancer", "console", "bgp"},
	"cmd":          {"bgp", "bgp/speaker", "folders", "handover", "history", "parallel", "dnsname", "dnssec", "dnssec/upkeep", "geo", "health", "health/probe", "health/fleet", "store", "steer", "zones", "dnsserver", "transfer", "balancer", "console", "config", "agent", "forecast", "replay", "tools", "steady"},
	"tools":        {"geo", "health", "health/fleet", "store", "steer", "zones", "dnsserver", "config", "durable"},
	"test":         {},

	"dnssec/upkeep":   {"dnsname", "dnssec", "durable", "steady"},
	"balancer/kernel": {},
	"balancer/nft":    {"balancer/kernel", "networks"},
	"balancer/bpf":    {"balancer/kernel", "networks"},
}

// unreachable is what a room must not reach by any way, so that it can be
// tested alone: the answer path gets neither to etcd nor to the configuration
// nor to a probe, and the decision does no I/O at all.
var unreachable = map[string][]string{
	"geo":          {"go.etcd.io/", "net/http", "github.com/miekg/dns"},
	"health":       {"go.etcd.io/", "net", "github.com/miekg/dns"},
	"steer":        {"go.etcd.io/", "net/http", "github.com/miekg/dns"},
	"forecast":     {"go.etcd.io/", "net/http", "github.com/miekg/dns", "gslb/config"},
	"zones":        {"go.etcd.io/", "net/http"},
	"dnsserver":    {"go.etcd.io/", "gslb/store", "gslb/config", "gslb/health/probe", "gslb/health/fleet", "gslb/balancer", "gslb/transfer"},
	"transfer":     {"go.etcd.io/", "net/http", "gslb/dnsserver"},
	"balancer/nft": {"net/http"},
	"balancer/bpf": {"net/http"},
	"balancer":     {"github.com/miekg/dns", "gslb/steer", "gslb/zones", "gslb/geo"},
	"store":        {"github.com/miekg/dns"},
	"dnssec":       {"go.etcd.io/", "net/http"},
	"afxdp":        {"go.etcd.io/", "github.com/miekg/dns"},
}

// vague names say nothing about what lives there.
var vague = []string{"util", "utils", "common", "types", "helper", "helpers", "misc", "shared"}

const module = "gslb/"

func TestImportsOnlyGoDown(t *testing.T) {
	for _, p := range modulePackages(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		for _, word := range strings.Split(path, "/") {
			if slices.Contains(vague, word) {
				t.Errorf("package %s: %q says nothing; a type lives in the room that owns its meaning", path, word)
			}
		}
		room := roomOf(path)
		if room == "" {
			t.Errorf("package %s is in no room of the drawing: add it to docs/architecture.md and to this test, or move it", path)
			continue
		}
		for _, imported := range p.Imports {
			target, ok := strings.CutPrefix(imported, module)
			if !ok || roomOf(target) == room || slices.Contains(rooms[room], roomOf(target)) {
				continue
			}
			t.Errorf("%s imports %s: room %s may import only %v", path, target, room, rooms[room])
		}
		for _, dep := range p.Deps {
			for _, no := range unreachable[room] {
				if dep == no || strings.HasSuffix(no, "/") && strings.HasPrefix(dep, no) {
					t.Errorf("%s reaches %s: must not, see the drawing", path, dep)
				}
			}
		}
	}
}

func TestDrawingHasNoCircle(t *testing.T) {
	var visit func(room string, way []string)
	visit = func(room string, way []string) {
		if slices.Contains(way, room) {
			t.Fatalf("circle: %v", append(way, room))
		}
		for _, next := range rooms[room] {
			if _, ok := rooms[next]; !ok {
				t.Errorf("room %s may import %s, which is no room", room, next)
			}
			visit(next, append(way, room))
		}
	}
	for room := range rooms {
		visit(room, nil)
	}
}

// roomOf is the longest room that a package's path lies in.
func roomOf(path string) string {
	best := ""
	for room := range rooms {
		if (path == room || strings.HasPrefix(path, room+"/")) && len(room) > len(best) {
			best = room
		}
	}
	return best
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string // all packages that it reaches
}

// modulePackages lists this module's packages, without their tests.
func modulePackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps=false", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < len(rooms)/2 {
		t.Fatalf("go list gave only %d packages", len(all))
	}
	return all
}
