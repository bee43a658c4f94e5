package main

import (
	"fmt"
	"strings"
	"time"

	"gslb/console"
	"gslb/geo"
	"gslb/health"
	"gslb/health/fleet"
)

// An order without an end is likely forgotten after longOverride. A node may
// take until firstContact after its start to reach etcd.
const (
	longOverride = 24 * time.Hour
	// Nor need anyone look at a wait after a failure until it is longer than longHold.
	longHold     = time.Minute
	firstContact = 5 * time.Second
)

// statusProblems lists what a person should look at, from what st shows.
func statusProblems(st console.Status) []string {
	lines := storeProblems(st)
	lines = append(lines, outOfService(st)...)
	lines = append(lines, behind(st)...)
	for _, s := range st.Sites {
		lines = append(lines, siteProblems(s, st.Now)...)
	}
	for _, d := range st.Geo {
		if d.Error != "" {
			lines = append(lines, fmt.Sprintf("geo database %s: since %s: %s; the one opened before stays in use", d.Path, moment(d.Since), d.Error))
		}
	}
	return lines
}

// storeProblems says since when the node is on its own.
func storeProblems(st console.Status) []string {
	var lines []string
	if e := st.Etcd; e.Ended != "" {
		lines = append(lines, fmt.Sprintf("this node's member of etcd does not come back by itself: %s. Mend that (make room, if the disk is full), and start the node again: it answers on until then", e.Ended))
	}
	switch e := st.Etcd; {
	case e.Connected:
	case e.Since.IsZero() && st.Now.Sub(st.Node.Started) < firstContact:
	case e.Since.IsZero():
		lines = append(lines, "etcd has not been reached since the start"+because(e.Error))
	default:
		lines = append(lines, "etcd is not connected since "+moment(e.Since)+because(e.Error))
	}
	if st.Stale {
		lines = append(lines, "the sites' states are stale: the last known ones are served until etcd is reached again")
	}
	return lines
}

// behind lists the other nodes that do not take the topology that they are to serve,
// and those that cannot see.
func behind(st console.Status) (lines []string) {
	for _, n := range st.Nodes {
		if n.Blind != "" && !n.Self {
			lines = append(lines, fmt.Sprintf("node %s: its votes are withdrawn: %s", n.Name, n.Blind))
		}
		if n.Problem != "" && !n.Self {
			lines = append(lines, fmt.Sprintf("node %s serves revision %d of the topology, not %d: %s", n.Name, n.Revision, n.Wanted, n.Problem))
		}
	}
	return lines
}

// outOfService tells whether no site may be given to new users.
func outOfService(st console.Status) []string {
	if len(st.Steered) == 0 || len(st.Sites) == 0 {
		return nil // nothing is decided here
	}
	for _, s := range st.Sites {
		if s.InService() {
			return nil
		}
	}
	return []string{"every site is out of service: steered names answer as though all were up (fail open), or go to their last resort"}
}

// siteProblems lists what is wrong with a site, with what was ordered for it and
// with those who look at it.
func siteProblems(s console.Site, now time.Time) []string {
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, "site "+s.Site+": "+fmt.Sprintf(format, args...))
	}
	o := s.Override
	if s.State == health.Down && (o == nil || o.Kind != health.ForceDown) {
		lines = append(lines, fmt.Sprintf("site %s is down since %s: %s", s.Site, moment(s.Since), s.Why))
	}
	for _, why := range s.Elsewhere {
		add("%s", why)
	}
	if o != nil && o.Until.IsZero() && now.Sub(o.Since) > longOverride {
		add("%s, by %s, since %s and without an end: %s (gslb undrain %s takes it back)", o.Kind.Past(), o.Who, moment(o.Since), o.Why, s.Site)
	}
	if x := s.HeldUntil; s.Held != "" && x.Sub(now) > longHold {
		add("is up, and gets no new users until %s: %s", moment(x), s.Held)
	}
	if text := disagreement(s.Votes); text != "" {
		add("vantage points disagree: %s", text)
	}
	for _, r := range s.Reports {
		for _, v := range r.Servers {
			if v.State == health.Down {
				add("%s %s is down: %s", v.Role, v.Address, v.Detail)
			}
		}
	}
	return lines
}

// disagreement tells who says that a site is down, and who says that it is not.
func disagreement(votes []health.Vote) string {
	var down, not []string
	detail := ""
	for _, v := range votes {
		switch v.State {
		case health.Unknown:
		case health.Down:
			down = append(down, v.Vantage)
			if detail == "" && v.Detail != "" {
				detail = " (" + v.Vantage + ": " + v.Detail + ")"
			}
		default:
			not = append(not, v.Vantage)
		}
	}
	if len(down) == 0 || len(not) == 0 {
		return ""
	}
	return "down for " + strings.Join(down, ", ") + detail + ", not down for " + strings.Join(not, ", ")
}

// databases shows the sources of places, each with the reason why what lies in
// its place now is not used. What concerns no single one is the second value.
func databases(sources []geo.Source, ws geo.WatchStatus) (out []console.Database, other []string) {
	for _, s := range sources {
		out = append(out, console.Database{
			Path: s.Path, Type: s.Type, Built: s.Built, Networks: s.Networks, Places: s.Places, Bytes: s.Bytes, LoadSeconds: s.LoadTime.Seconds(),
		})
	}
	if ws.Fault == "" {
		return out, nil
	}
next:
	for _, line := range strings.Split(ws.Fault, "\n") {
		for i := range out {
			if reason, ok := strings.CutPrefix(line, "geo database "+out[i].Path+": "); ok {
				out[i].Error, out[i].Since = reason, ws.Since
				continue next
			}
		}
		other = append(other, line+", since "+moment(ws.Since))
	}
	return out, other
}

// storeValues lists the values in the store that cannot be read.
func storeValues(all []fleet.Problem) []string {
	var lines []string
	for _, p := range all {
		lines = append(lines, fmt.Sprintf("store key %s: %s", p.Key, p.Message))
	}
	return lines
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// moment writes a time for people; they compare it with their clock.
func moment(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}
