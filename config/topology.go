package config

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// TopologyEtcd is the node.topology of a node whose topology comes from etcd.
const TopologyEtcd = "etcd"

// scope is what is read together.
type scope int

const (
	whole    scope = iota // what a node is, and what is served
	nodeOnly              // what a node is; what it serves comes from etcd
	both                  // what a node is, and the topology, which stands apart
	alone                 // a topology, for any node
)

// The tables that say what a node is, and those that say what the fleet serves.
// [geo] has of both; [[frontend]] may be either.
var (
	nodeTables     = []string{"node", "dns", "etcd", "api", "checker", "bgp"}
	topologyTables = []string{"zone", "zones", "dnssec", "tsig", "site", "group", "check", "steer", "expect", "history", "health", "breaker", "drain", "audience", "measured"}
	nodeGeo        = []string{"databases", "reload"}
	topologyGeo    = []string{"override"}
)

// IsTopology tells whether a file is a topology that stands apart: it, with what
// it includes, says nothing of a node. A file that cannot be read is none.
func IsTopology(path string) bool {
	r, tree := newReport(alone), map[string]any{}
	r.read(tree, path, true)
	return len(tree) > 0 && !slices.ContainsFunc(r.errors.Problems, func(p Problem) bool { return p.Message == ofNode })
}

// ofNode is what is wrong with a node's table in a topology.
const ofNode = "says what a node is: it belongs into the file of each node, a topology says what the fleet serves"

// place finds out what is read, and reports tables that stand in the wrong file.
func (r *report) place(tree map[string]any) {
	node, _ := tree["node"].(map[string]any)
	apart := node["topology"] == TopologyEtcd
	switch {
	case r.scope == whole && apart:
		r.scope = nodeOnly
	case r.scope == both && !apart:
		r.bad("node.topology", `must be "etcd": this node has the topology that its own file says`)
	}
	for _, s := range r.at.files {
		if apart && !s.topology {
			const why = "belongs into the topology, which this node takes from etcd (node.topology)"
			geo, _ := s.tree["geo"].(map[string]any)
			r.misplaced(s, s.tree, "", topologyTables, why)
			r.misplaced(s, geo, "geo", topologyGeo, why)
		}
	}
}

// dropNode reports the tables of a topology's file that are a node's, and takes
// them out.
func (r *report) dropNode(s *source) {
	geo, _ := s.tree["geo"].(map[string]any)
	r.misplaced(s, s.tree, "", nodeTables, ofNode)
	r.misplaced(s, geo, "geo", nodeGeo, ofNode)
	maps.DeleteFunc(s.tree, func(key string, _ any) bool { return slices.Contains(nodeTables, key) })
	maps.DeleteFunc(geo, func(key string, _ any) bool { return slices.Contains(nodeGeo, key) })
}

// dropOfNode leaves, of the faults in a node's tables in a topology, that they are
// there: they were not read, so what else is told of them is not so.
func (r *report) dropOfNode() {
	ofTables := func(p Problem) bool {
		table, _, _ := strings.Cut(p.Key, ".")
		return slices.Contains(nodeTables, table)
	}
	if !slices.ContainsFunc(r.errors.Problems, func(p Problem) bool { return p.Message == ofNode }) {
		return
	}
	r.errors.Problems = slices.DeleteFunc(r.errors.Problems, func(p Problem) bool { return r.scope == alone && p.Message != ofNode && ofTables(p) })
}

func (r *report) misplaced(s *source, tree map[string]any, path string, tables []string, why string) {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		if !slices.Contains(tables, key) {
			continue
		}
		at := joinPath(path, key)
		line, column := s.at.find(at)
		r.errors.Problems = append(r.errors.Problems, Problem{File: s.name, Line: line, Column: column, Key: at, Message: why})
	}
}

// inTopology tells whether the key stands in a topology that stands apart.
func (r *report) inTopology(key string) bool {
	file, _, _ := r.at.find(key)
	return file.topology
}

// rootOf is the folder of the topology that stands apart; "" without one.
func rootOf(files []*source) string {
	for _, s := range files {
		if s.topology {
			return s.dir
		}
	}
	return ""
}

// checkTravels looks at the name of a file that a topology gives: with a
// relative name it travels with the topology, with an absolute one each node has it.
func (c *Config) checkTravels(r *report, key, path string) {
	if path == "" || filepath.IsAbs(path) || !r.at.has(key) || !r.inTopology(key) {
		return
	}
	full := r.absolute(key, path)
	rel, err := filepath.Rel(rootOf(r.at.files), full)
	switch {
	case err != nil || !filepath.IsLocal(rel):
		r.bad(key, "%q: lies outside of the topology's folder, so that it cannot travel with it: move it there, or give the absolute name that it has on each node", path)
	case strings.HasPrefix(key, "tsig."):
		r.bad(key, "%q: secrets do not travel with a topology: must be the absolute name that the file has on each node", path)
	case c.isCopy(key):
		r.bad(key, "%q: is written by each node: must be an absolute name", path)
	case !strings.Contains(path, "*"):
		c.parts = append(c.parts, full)
	}
}

// isCopy tells whether the key is the file of a zone that comes from primaries.
func (c *Config) isCopy(key string) bool {
	for i := range c.fileless {
		if key == indexPath("zone", i)+".file" {
			return true
		}
	}
	return false
}

// Root is the folder of the topology that stands apart, and Parts are the files
// that travel with it, absolute and sorted, the topology's own first: all but
// those that its master files include.
func (c *Config) Root() string { return rootOf(c.sources) }

// Parts: see Root.
func (c *Config) Parts() []string {
	var first, all []string
	for _, s := range c.sources {
		if s.topology {
			all = append(all, filepath.Join(s.dir, filepath.Base(s.name)))
		}
	}
	if len(all) > 0 {
		first, all = all[:1], all[1:]
	}
	all = append(all, c.parts...)
	slices.Sort(all)
	return append(first, slices.Compact(all)...)
}

// own tells whether a frontend is this node's: it stands in its own file, or is
// of its site.
func (c *Config) own(r *report, i int) bool {
	if !r.inTopology(indexPath("frontend", i)) {
		return true
	}
	return r.scope == both && c.Node.HasRole(RoleBalancer) && c.Node.Site != "" && c.Frontends[i].Site == c.Node.Site
}

// dropForeign leaves the frontends that this node is to run. Before there is a
// topology there are none, since it has their checks.
func (c *Config) dropForeign(r *report) {
	switch r.scope {
	case nodeOnly:
		c.Frontends = nil
	case both:
		var own []int
		for i := range c.Frontends {
			if c.own(r, i) {
				own = append(own, i)
			}
		}
		kept := c.Frontends[:0:0]
		for _, i := range own {
			kept = append(kept, c.Frontends[i])
		}
		c.Frontends = kept
	}
}

// checkFrontendSite sees that each frontend of a topology says whose it is.
func (c *Config) checkFrontendSite(r *report, i int) {
	path := indexPath("frontend", i)
	if r.inTopology(path) && c.Frontends[i].Site == "" {
		r.bad(path+".site", "missing: must be the site whose nodes run this frontend, those with node.site and the role %q", RoleBalancer)
	}
}

// checkTopologyWord looks at node.topology.
func (c *Config) checkTopologyWord(r *report) {
	if t := c.Node.Topology; t != "" && t != TopologyEtcd {
		r.bad("node.topology", `%q: must be "etcd", or be left out to serve what this file and those that it includes say`, t)
	}
}
