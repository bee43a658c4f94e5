package fleet

import (
	"slices"

	"gslb/health"
)

// settling finds what the watchman holds back right after etcd came back: a change that would take many sites out at once. At that time the votes of nodes that are still on their
// way are missing, and the few that are there may be of a node that sees badly.
//
//	sites in service    go out at once    and then left    verdict
//	any                 none              any              let through
//	any                 all               none             held
//	any                 one               some             let through
//	any                 half or fewer     some             let through
//	any                 two or more,      some             held
//	                    over half
//
// An operator's override is never held. before is what is published now, after
// what was computed. It returns the sites that are to stay in their former state, sorted.
func settling(before, after *health.States) (held []string) {
	available, left := 0, 0
	for name, st := range before.Sites {
		if _, ok := after.Sites[name]; ok && st.State.Available() {
			available++
		}
	}
	for name, st := range after.Sites {
		if st.State.Available() {
			left++
			continue
		}
		old, ok := before.Sites[name]
		if ok && old.State.Available() && !ordered(st) {
			held = append(held, name)
		}
	}
	if n := len(held); n == 0 || left > 0 && (n == 1 || 2*n <= available) {
		return nil
	}
	slices.Sort(held)
	return held
}

// ordered tells whether an operator decided the state.
func ordered(st health.Status) bool {
	return st.Override != nil && (st.Override.Kind == health.ForceDown || st.Override.Kind == health.ForceUp)
}
