package config

import (
	"os"
	"time"
)

// Node is [node]: what this machine is and does.
type Node struct {
	// Name tells the node apart from all others of the fleet; default: the host name.
	Name string `toml:"name"`
	// Roles are any of "dns", "checker" and "balancer"; default: dns and
	// checker, and balancer when there are frontends.
	Roles []string `toml:"roles"`
	// DataDir keeps the embedded etcd and the last-known-good copies; default:
	// "gslb-data" beside the configuration file.
	DataDir string `toml:"data_dir"`
	// Topology is "etcd" for a node that serves the topology in etcd; empty: what
	// the configuration itself says.
	Topology string `toml:"topology"`
	// Keys is the folder of the keys that zones are signed with; default: "keys" in DataDir.
	Keys string `toml:"keys"`
	// MaintainKeys: this node makes and rolls the keys; default true. Where
	// several share keys, one of them does.
	MaintainKeys *bool `toml:"maintain_keys"`
	// Site is the site that this node stands in: its balancer reports on it.
	Site string `toml:"site"`
	// WatchZones has zones read again whose files change, and those of [[zones]]
	// come and go with their files.
	WatchZones bool `toml:"watch_zones"`
	// AllowExec lets checks run programs on this node. It is the node's own to
	// say, since checks may come from elsewhere.
	AllowExec bool `toml:"allow_exec"`
	// ShutdownWait is how long the node goes on serving after it was told to end, while it
	// is not ready and announces nothing: so that no user is sent here any more. Default: 0,
	// or 1s with [bgp].
	ShutdownWait time.Duration `toml:"shutdown_wait"`
	LogLevel     string        `toml:"log_level"`  // "debug", "info" (default), "warn" or "error"
	LogFormat    string        `toml:"log_format"` // "text" (default) or "json"
}

// The roles that a node can have.
const (
	RoleDNS      = "dns"      // answers queries
	RoleChecker  = "checker"  // probes the sites and votes on them
	RoleBalancer = "balancer" // takes the connections of a site
)

// HasRole tells whether the node has the role.
func (n Node) HasRole(role string) bool {
	for _, r := range n.Roles {
		if r == role {
			return true
		}
	}
	return false
}

func (n Node) withDefaults(frontends bool) Node {
	if n.Name == "" {
		n.Name, _ = os.Hostname()
	}
	if n.Name == "" {
		n.Name = "gslb"
	}
	if len(n.Roles) == 0 {
		n.Roles = []string{RoleDNS, RoleChecker}
		if frontends {
			n.Roles = append(n.Roles, RoleBalancer)
		}
	}
	if n.DataDir == "" {
		n.DataDir = "gslb-data"
	}
	if n.MaintainKeys == nil {
		yes := true
		n.MaintainKeys = &yes
	}
	if n.LogLevel == "" {
		n.LogLevel = "info"
	}
	if n.LogFormat == "" {
		n.LogFormat = "text"
	}
	return n
}
