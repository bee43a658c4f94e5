package console

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"gslb/bgp"
	"gslb/health"
)

// WriteStatus prints s for a person at a terminal: what is wrong first, then
// sites, vantage points and servers. Words that ask for attention are in
// capitals. It needs no colour and holds no escape sequences, whatever s holds.
func WriteStatus(w io.Writer, s Status) error {
	if err := writeHead(w, s); err != nil {
		return err
	}
	for _, t := range []*table{siteTable(s), drainTable(s), voteTable(s), timesTable(s), serverTable(s), bgpTable(s), nodeTable(s), nameTable(s), releaseTable(s), moveTable(s), keyTable(s), geoTable(s)} {
		if err := t.write(w); err != nil {
			return err
		}
	}
	return nil
}

// writeHead prints who answers, from which knowledge, and the problems.
func writeHead(w io.Writer, s Status) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: gslb %s, %s, running for %s\n", clean(or(s.Node.Name, "node without a name")), clean(s.Node.Version),
		clean(or(strings.Join(s.Node.Roles, " + "), "no roles")), sinceText(s.Node.Started, s.Now))
	fmt.Fprintf(&b, "health revision %d, %s\n", s.Revision, clean(etcdText(s)))
	if text := topologyText(s.Topology); text != "" {
		b.WriteString(clean(text) + "\n")
	}
	if s.Counters.Queries > 0 {
		fmt.Fprintf(&b, "%d queries answered since the start\n", s.Counters.Queries)
	}
	if c := s.Counters.Compact; c["signed"]+c["kept"]+c["chain"] > 0 {
		fmt.Fprintf(&b, "compact denial: %d names that do not exist were proven by a signature made for the query, %d by one made before, %d by the chain\n", c["signed"], c["kept"], c["chain"])
	}
	if s.Stale {
		b.WriteString("STALE: the store can't be reached; everything below is the last that was known\n")
	}
	if all := s.Attention(); len(all) > 0 {
		fmt.Fprintf(&b, "\nPROBLEMS (%d)\n", len(all))
		shown, hidden := s.readable(all)
		for _, p := range shown {
			fmt.Fprintf(&b, "  ! %s\n", clean(p))
		}
		if hidden > 0 {
			fmt.Fprintf(&b, "  ! %d more sites are down: SITES says which, and why\n", hidden)
		}
	} else {
		b.WriteString("no problems\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func etcdText(s Status) string {
	e := s.Etcd
	kind := strings.TrimSpace("etcd " + strings.Join(e.Endpoints, " "))
	if e.Embedded {
		kind = "embedded etcd"
	}
	if !e.Connected {
		text := kind + " NOT CONNECTED for " + sinceText(e.Since, s.Now)
		if e.Error != "" {
			text += ": " + e.Error
		}
		return text
	}
	return fmt.Sprintf("%s connected for %s at revision %d", kind, sinceText(e.Since, s.Now), e.Revision)
}

func siteTable(s Status) *table {
	t := newTable("SITES", "NAME", "STATE", "FOR", "VOTES", "LOAD", "SHED", "WHY")
	for _, x := range s.Sites {
		r := t.add(x.Site, stateText(x.Status), sinceText(x.Since, s.Now), votesText(x.Votes), loadText(x), shedText(x.Away()), whyText(x.Status))
		if o := x.Override; o != nil {
			r.note("%s", overrideText(*o, s.Now))
		}
	}
	return t
}

// whyText is the reason of a site's state, and why it does not get all its users though it is up.
func whyText(x health.Status) string {
	if x.Withheld > 0 && x.Override == nil && !x.Draining {
		return fmt.Sprintf("%s; slow start: %s of its new users go elsewhere for now", x.Why, shedText(x.Withheld))
	}
	return x.Why
}

// stateText is the verdict in a word or two.
func stateText(x health.Status) string {
	text := loud(x.State)
	if x.Draining {
		text += ", DRAINING"
	}
	if x.Held != "" {
		text += ", HELD"
	}
	if o := x.Override; o != nil && (o.Kind == health.ForceUp || o.Kind == health.ForceDown) {
		text += ", FORCED"
	}
	return text
}

// loud puts in capitals what asks for attention.
func loud(st health.State) string {
	switch st {
	case health.Up:
		return "up"
	case health.Degraded:
		return "DEGRADED"
	case health.Down:
		return "DOWN"
	}
	return "unknown"
}

func votesText(votes []health.Vote) string {
	var n [4]int
	for _, v := range votes {
		n[min(v.State, health.Down)]++
	}
	var parts []string
	for _, st := range []health.State{health.Down, health.Degraded, health.Up, health.Unknown} {
		if n[st] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[st], strings.ToLower(loud(st))))
		}
	}
	return or(strings.Join(parts, ", "), "none")
}

func loadText(x Site) string {
	switch {
	case x.Capacity > 0:
		return fmt.Sprintf("%s of %s, %.0f%%", number(x.Load), number(x.Capacity), 100*x.Load/x.Capacity)
	case x.Load > 0:
		return number(x.Load)
	}
	return "-"
}

func shedText(shed float64) string {
	if shed <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*shed)
}

func overrideText(o health.Override, now time.Time) string {
	text := fmt.Sprintf("%s by %s %s ago", o.Kind.Past(), or(o.Who, "someone"), sinceText(o.Since, now))
	if o.Until.IsZero() {
		text += ", until it is taken back"
	} else {
		text += fmt.Sprintf(", for another %s (until %s)", age(o.Until.Sub(now)), o.Until.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	if o.Why == "" {
		return text + ", no reason given"
	}
	return text + ": " + strconv.Quote(o.Why)
}

// voteTable shows who says that a site isn't up, and what they saw. A site that
// all see up needs no line.
func voteTable(s Status) *table {
	t := newTable("VANTAGE POINTS THAT DON'T SEE A SITE UP", "SITE", "SEEN FROM", "AS", "FOR", "LAST PROBE")
	for _, x := range s.Sites {
		for _, v := range x.Votes {
			if v.State != health.Up {
				t.add(x.Site, v.Vantage, loud(v.State), sinceText(v.Since, s.Now), or(v.Detail, "-"))
			}
		}
	}
	return t
}

// mostTimesShown bounds the columns of the table of times.
const mostTimesShown = 12

// timesTable shows the round-trip times: a line for each site that is measured, a column for each
// vantage point.
func timesTable(s Status) *table {
	shown := s.Times[:min(len(s.Times), mostTimesShown)]
	title := "ROUND-TRIP TIMES, MS"
	if len(shown) < len(s.Times) {
		title = fmt.Sprintf("ROUND-TRIP TIMES, MS, FROM %d OF %d VANTAGE POINTS", len(shown), len(s.Times))
	}
	head := []string{"SITE"}
	for _, t := range shown {
		name := t.Vantage
		if t.Location == nil {
			name += " (nowhere)"
		}
		head = append(head, name)
	}
	out := newTable(title, head...)
	for _, x := range s.Sites {
		line, any := []string{x.Site}, false
		for _, t := range shown {
			ms, ok := t.RTT[x.Site]
			if any = any || ok; ok {
				line = append(line, fmt.Sprintf("%.4g", ms))
			} else {
				line = append(line, "-")
			}
		}
		if any {
			out.add(line...)
		}
	}
	return out
}

// serverTable shows this node's servers and those that other balancers report.
func serverTable(s Status) *table {
	t := newTable("SERVERS", "SITE", "FRONTEND", "SERVER", "STATE", "CONNECTIONS", "LAST CHECK")
	type key struct{ site, frontend string }
	own := map[key]bool{}
	for _, f := range s.Frontends {
		own[key{f.Site, f.Name}] = true
		for _, v := range f.Servers {
			t.add(f.Site, f.Name, v.Address, serverText(v), strconv.FormatInt(v.Connections, 10), or(v.Detail, "-"))
		}
	}
	for _, x := range s.Sites {
		for _, r := range x.Reports {
			for _, v := range r.Servers {
				if r.Node == s.Node.Name && own[key{x.Site, v.Frontend}] {
					continue
				}
				t.add(x.Site, v.Frontend, v.Address, lastKnown(serverText(reported(v)), s.Stale && r.Node != s.Node.Name), strconv.FormatInt(v.Connections, 10), or(v.Detail, "-"))
			}
		}
	}
	return t
}

// bgpTable shows what this node's routers are told, and whether they hear it.
func bgpTable(s Status) *table {
	t := newTable("BGP", "WHAT", "STATE", "SINCE", "WHY")
	if s.BGP == nil {
		return t
	}
	for _, n := range s.BGP.Neighbors {
		state := n.State
		if state != bgp.Established {
			state = strings.ToUpper(state)
		}
		t.add(fmt.Sprintf("neighbour %s (AS %d)", n.Address, n.AS), state, since(n.Since, s.Now), or(n.Error, "-"))
	}
	for _, a := range s.BGP.Addresses {
		state := "announced"
		switch {
		case a.Announced:
		case !a.Due.IsZero():
			state = "soon"
		default:
			state = "WITHDRAWN"
		}
		t.add(a.Address, state, since(a.Since, s.Now), a.Why)
	}
	return t
}

// since is how long ago t was; "-" for never.
func since(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return now.Sub(t).Round(time.Second).String()
}

// lastKnown marks what can't be known to be so still.
func lastKnown(text string, stale bool) string {
	if stale {
		return text + " (last known)"
	}
	return text
}

// reported is a server of another node's report in the form of our own.
func reported(v health.Server) FrontendServer {
	return FrontendServer{
		Address: v.Address, State: v.State, Role: v.Role, InService: v.InService,
		Draining: v.Draining, Connections: v.Connections, Detail: v.Detail,
	}
}

// serverText tells apart what an operator treats differently:
//
//	draining | role   | in service | state        | text
//	yes      |        |            |              | DRAINING
//	         | spare  | yes        |              | spare, IN SERVICE
//	         | spare  | no         | down         | spare, DOWN
//	         | spare  | no         |              | spare
//	         | server | yes        |              | in service
//	         | server | no         | unknown      | not checked yet
//	         | server | no         |              | ISOLATED
func serverText(v FrontendServer) string {
	spare := v.Role == "spare"
	switch {
	case v.Draining:
		return "DRAINING"
	case spare && v.InService:
		return "spare, IN SERVICE"
	case spare && v.State == health.Down:
		return "spare, DOWN"
	case spare:
		return "spare"
	case v.InService && !v.Isolated:
		return "in service"
	case v.State == health.Unknown && !v.Isolated:
		return "not checked yet"
	}
	return "ISOLATED"
}

func nodeTable(s Status) *table {
	follows := slices.ContainsFunc(s.Nodes, func(n FleetNode) bool { return n.Follows })
	heading := []string{"NAME", "ROLES", "ALIVE FOR"}
	if follows {
		heading = append(heading, "TOPOLOGY")
	}
	t := newTable("NODES", heading...)
	for _, n := range s.Nodes {
		name, alive := n.Name, sinceText(n.Since, s.Now)
		if s.Stale && !n.Self {
			alive = "last known" // nobody knows whether it lives
		}
		if n.Self {
			name += " (this node)"
		}
		cells := []string{name, or(strings.Join(n.Roles, " + "), "-"), alive}
		if follows {
			cells = append(cells, servedText(n))
		}
		t.add(cells...)
	}
	return t
}

// servedText is the revision of the topology that a node serves.
func servedText(n FleetNode) string {
	text := "revision " + strconv.FormatInt(n.Revision, 10)
	switch {
	case !n.Follows:
		return "its own file"
	case n.Revision == 0:
		text = "none yet"
	}
	if n.Wanted > 0 {
		text += fmt.Sprintf(", NOT %d", n.Wanted)
	}
	return text
}

func nameTable(s Status) *table {
	t := newTable("STEERED NAMES", "NAME", "ANSWERS WITH", "TTL", "COHORTS", "CHOSEN SO FAR", "LATELY (EXPECTED)")
	for _, n := range s.Steered {
		form := n.Form
		if n.Alias != "" {
			form = "ALIAS " + n.Alias
		}
		t.add(n.Name, form, fmt.Sprintf("%ds", n.TTLSeconds), strconv.Itoa(n.Cohorts), or(choiceText(s, n.Name), "-"), or(splitText(s, n.Split), "-"))
	}
	return t
}

// splitText is the share of each site in the answers of the last minutes, and in brackets the one that was to
// be expected, in the order of the sites.
func splitText(s Status, split *Split) string {
	if split == nil {
		return ""
	}
	var parts []string
	for _, x := range s.Sites {
		if got, want := split.Got[x.Site], split.Expected[x.Site]; got > 0 || want > 0 {
			parts = append(parts, fmt.Sprintf("%s %.1f%% (%.1f%%)", x.Site, 100*got, 100*want))
		}
	}
	return strings.Join(parts, ", ")
}

// choiceText is the share of each site in the answers of a name, in the order of the sites.
func choiceText(s Status, name string) string {
	choices := s.Counters.Choices[name]
	var all uint64
	for _, n := range choices {
		all += n
	}
	var parts []string
	for _, x := range s.Sites {
		if n := choices[x.Site]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %.1f%%", x.Site, 100*float64(n)/float64(all)))
		}
	}
	return strings.Join(parts, ", ")
}

func geoTable(s Status) *table {
	t := newTable("GEO DATABASES", "FILE", "TYPE", "BUILT", "STATE")
	for _, d := range s.Geo {
		built := "-"
		if !d.Built.IsZero() {
			built = d.Built.UTC().Format(time.DateOnly)
		}
		state := "in use"
		if d.Error != "" {
			state = "NEW FILE REFUSED"
			if !d.Since.IsZero() {
				state += " for " + sinceText(d.Since, s.Now)
			}
			state += ", the one read before stays: " + d.Error
		}
		t.add(d.Path, d.Type, built, state)
	}
	return t
}

// number is f without needless digits.
func number(f float64) string {
	if f >= 100 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}
