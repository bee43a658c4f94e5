package config

import (
	"maps"
	"slices"
)

// checkChecks looks at what checks are made of, and at what they may do here.
func (c *Config) checkChecks(r *report) {
	for _, name := range slices.Sorted(maps.Keys(c.Checks)) {
		check, path := c.Checks[name], joinPath("check", name)
		for i, part := range check.Of {
			c.checkCheckName(r, indexPath(path+".of", i), part)
		}
		if check.Type == "exec" && r.scope != alone && !c.Node.AllowExec && c.runs(name) { // which node a topology alone is for is not known
			r.bad(path+".type", `"exec": would run a program on this node: if that is to be, set allow_exec = true in [node]`)
		}
		if check.SkipVerify {
			r.warn(path+".skip_verify", "true: any certificate is taken, an expired one and another's too; ca names whom else to trust")
		}
	}
}

// runs tells whether this node would run the check, by itself or as a part.
func (c *Config) runs(name string) bool {
	seen := map[string]bool{}
	var reaches func(from string) bool
	reaches = func(from string) bool {
		if from == name || seen[from] {
			return from == name
		}
		seen[from] = true
		return slices.ContainsFunc(c.Checks[from].Of, reaches)
	}
	if c.Node.HasRole(RoleChecker) {
		for _, s := range c.Sites {
			if reaches(s.Check) {
				return true
			}
		}
	}
	if c.Node.HasRole(RoleBalancer) {
		for _, f := range c.Frontends {
			if reaches(f.Check) {
				return true
			}
		}
	}
	return false
}
