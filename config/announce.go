package config

import (
	"slices"
	"time"
)

// shutdownWaitMost is longer than any router takes.
const shutdownWaitMost = 10 * time.Minute

// checkAnnounced looks at what [bgp] and what is to be announced need of each other.
func (c *Config) checkAnnounced(r *report) {
	if r.scope == alone {
		return // the nodes have [bgp]
	}
	if w := c.Node.ShutdownWait; w < 0 || w > shutdownWaitMost {
		r.bad("node.shutdown_wait", "%v: must be at most %s", w, showDuration(shutdownWaitMost))
	}
	announced := len(c.BGP.DNS) > 0
	for i, f := range c.Frontends {
		if !f.Announce || !c.own(r, i) {
			continue
		}
		announced = true
		if !c.BGP.Used() && !r.errors.keys["bgp"] {
			r.bad(indexPath("frontend", i)+".announce", "true: needs [bgp], with the routers that are to be told")
		}
	}
	if !c.BGP.Used() {
		return
	}
	if len(c.BGP.DNS) > 0 && !slices.Contains(c.Node.Roles, RoleDNS) {
		r.bad("bgp.dns", "needs the role %q: this node answers no queries", RoleDNS)
	}
	if !announced && r.scope == whole {
		r.warn("bgp", "announces nothing: set announce = true in a [[frontend]], or dns")
	}
}
