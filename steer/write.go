package steer

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"gslb/geo"
)

// Write writes the trace for a person, who may be in a hurry: the question,
// the reasons from the outside in, and the choice last.
func (t *Trace) Write(w io.Writer) error {
	var b bytes.Buffer
	tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	t.writeClient(tw)
	t.writeRules(tw)
	tw.Flush()
	for i := range t.Tiers {
		t.writeTier(&b, &t.Tiers[i])
	}
	t.writeChoice(&b)
	_, err := w.Write(trimLines(b.Bytes()))
	return err
}

// String returns what Write writes.
func (t *Trace) String() string {
	var b strings.Builder
	t.Write(&b) // a Builder does not fail
	return b.String()
}

func (t *Trace) writeClient(w io.Writer) {
	fmt.Fprintf(w, "policy\t%s\n", t.Policy)
	client := "unknown"
	if t.Client.IsValid() {
		client = t.Client.String()
	}
	fmt.Fprintf(w, "client\t%s\n", client)
	fmt.Fprintf(w, "place\t%s\n", describe(&t.Place))
	if t.Within.IsValid() {
		fmt.Fprintf(w, "within\t%s\n", t.Within)
	}
	fmt.Fprintf(w, "cohort\t%d\n", t.Cohort)
}

// describe is the place in one line, from the large to the small.
func describe(p *geo.Place) string {
	var parts []string
	add := func(format string, known bool, args ...any) {
		if known {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add("%s", p.Continent != "", p.Continent)
	add("%s", p.Country != "", p.Country)
	add("%s", p.Subdivision[0] != "", strings.Join(subdivisions(p), " "))
	add("%s", p.City != "", p.City)
	add("%g,%g", p.HasLocation, p.Location.Latitude, p.Location.Longitude)
	add("isp %s", p.ISP != "", p.ISP)
	add("AS%d", p.ASN != 0, p.ASN)
	add("%s", p.ASOrg != "" && p.ASOrg != p.ISP, p.ASOrg)
	add("of %s", p.Organization != "" && p.Organization != p.ISP && p.Organization != p.ASOrg, p.Organization)
	if parts == nil {
		return "unknown"
	}
	return strings.Join(parts, "  ")
}

func (t *Trace) writeRules(w io.Writer) {
	for _, r := range t.Rules {
		what := "no: "
		if r.Matched {
			what = "yes: "
		}
		name := fmt.Sprintf("rule %d", r.Rule)
		if r.Implicit {
			name, what = "last rule", ""
		}
		fmt.Fprintf(w, "%s\t%s%s\n", name, what, r.Why)
	}
	if t.Choice == nil {
		return
	}
	states := fmt.Sprintf("revision %d", t.Revision)
	if t.Revision == 0 {
		states = "revision 0, before the first: a site that is unknown counts as in service"
	}
	if t.Stale {
		states += ", STALE: the store cannot be reached, so these are the last known"
	}
	fmt.Fprintf(w, "states\t%s\n", states)
	if t.Released != "" {
		fmt.Fprintf(w, "release\t%s is released\n", t.Released)
	}
}

func (t *Trace) writeTier(b *bytes.Buffer, tier *TierTrace) {
	name := fmt.Sprintf("tier %d", tier.Tier)
	if tier.LastResort {
		name = "last resort"
		if tier.Tier > 1 {
			name = fmt.Sprintf("last resort %d", tier.Tier)
		}
	}
	fmt.Fprintf(b, "\n%s  %s", name, tier.Label)
	if tier.Spread {
		b.WriteString("  (no location to measure from: spread by hash of the client network)")
	}
	switch {
	case tier.Pick != Latency:
	case tier.Vantage != "" && tier.Measured.IsZero():
		fmt.Fprintf(b, "  (times of %s)", tier.Vantage)
	case tier.Vantage != "":
		fmt.Fprintf(b, "  (times measured by %s, about %s from the client, since %s)", tier.Vantage, kilometres(tier.VantageKm), tier.Measured.UTC().Format(time.RFC3339))
	case !tier.Spread:
		b.WriteString("  (no vantage point that is near the client has measured two of them: by distance)")
	}
	b.WriteByte('\n')
	tw := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	ms := ""
	if tier.Pick == Latency {
		ms = "\tMS"
	}
	fmt.Fprintf(tw, "   SITE\tSTATE\tKM%s\tWEIGHT\tLOAD\tSHED\tSHARE\tVERDICT\tWHY\n", ms)
	for i := range tier.Members {
		writeMember(tw, &tier.Members[i], tier.Pick == Latency)
	}
	tw.Flush()
}

func writeMember(w io.Writer, m *MemberTrace, timed bool) {
	mark := "   "
	if m.Chosen {
		mark = "=> "
	}
	ms := ""
	switch {
	case timed && m.RTT != nil:
		ms = fmt.Sprintf("\t%.3g", *m.RTT)
	case timed:
		ms = "\t-"
	}
	fmt.Fprintf(w, "%s%s\t%s\t%s%s\t%g\t%s\t%s\t%s\t%s\t%s\n", mark, m.Site, m.state(), m.distance(), ms, m.Weight,
		m.load(), orDash(m.Shed), orDash(m.Share), m.Verdict, m.Why)
}

func (m *MemberTrace) state() string {
	if m.Draining {
		return m.State.String() + ", drained"
	}
	return m.State.String()
}

func (m *MemberTrace) distance() string {
	switch {
	case m.Distance == nil:
		return "-"
	case m.Bias != 0:
		return fmt.Sprintf("%.0f%+g", *m.Distance, m.Bias)
	}
	return fmt.Sprintf("%.0f", *m.Distance)
}

func (m *MemberTrace) load() string {
	if m.Capacity == 0 {
		return "-"
	}
	return percent(m.Load / m.Capacity)
}

func orDash(share float64) string {
	if share == 0 {
		return "-"
	}
	return percent(share)
}

func (t *Trace) writeChoice(b *bytes.Buffer) {
	if t.Choice == nil {
		return
	}
	b.WriteByte('\n')
	for _, d := range t.Draws {
		fmt.Fprintf(b, "by      %s\n", d)
	}
	fmt.Fprintf(b, "choice  %s\n", strings.Join(t.Choice.All(), ", "))
	fmt.Fprintf(b, "why     %s\n", t.Sentence)
}

// trimLines takes away the blanks that alignment leaves at line ends.
func trimLines(text []byte) []byte {
	lines := bytes.Split(text, []byte("\n"))
	for i := range lines {
		lines[i] = bytes.TrimRight(lines[i], " ")
	}
	return bytes.Join(lines, []byte("\n"))
}
