package forecast

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Write writes the comparison for a person: the sites, then for each name what moves and,
// with where, where each group is.
func (c *Comparison) Write(w io.Writer, where bool) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "users counted by %s: %s", c.Counted, amount(c.Users))
	if c.Uncounted > 0 {
		fmt.Fprintf(&b, " (%s more, of which nothing is known, are not counted)", amount(c.Uncounted))
	}
	if c.Total > 0 {
		fmt.Fprintf(&b, "; expected load: %s in all", amount(c.Total))
	}
	b.WriteString("\n\n")
	c.writeSites(&b)
	for i := range c.Names {
		c.Names[i].write(&b, c.By, where)
	}
	c.writeLoad(&b)
	_, err := w.Write(b.Bytes())
	return err
}

func (c *Comparison) writeSites(b *bytes.Buffer) {
	tw := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	head := "SITE\tSTATE\tUSERS\tCAPACITY"
	if c.Total > 0 {
		head += "\tLOAD\tOF CAPACITY"
	}
	fmt.Fprintln(tw, head)
	for i := range c.Sites {
		s := &c.Sites[i]
		capacity := "-"
		if s.Capacity > 0 {
			capacity = amount(s.Capacity)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s", s.Site, change(s.Before, s.After), change(Percent(s.ShareBefore), Percent(s.ShareAfter)), capacity)
		if c.Total > 0 {
			fmt.Fprintf(tw, "\t%s\t%s", change(amount(s.LoadBefore), amount(s.LoadAfter)), s.used())
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
}

// used says how full the site is, and what it sheds.
func (s *SiteChange) used() string {
	if s.Capacity == 0 {
		return ""
	}
	text := Percent(s.LoadAfter / s.Capacity)
	if s.Over {
		text += "  OVERLOADED"
	}
	if s.Shed > 0 {
		text += fmt.Sprintf("  sheds %s", Percent(s.Shed))
		if s.LoadFirst > s.Capacity && !s.Over {
			text += fmt.Sprintf(", %s until it does", Percent(s.LoadFirst/s.Capacity))
		}
	}
	return text
}

// writeLoad ends with what to worry about.
func (c *Comparison) writeLoad(b *bytes.Buffer) {
	b.WriteString("\n")
	for _, s := range c.Sites {
		if s.Over {
			fmt.Fprintf(b, "! site %s: an expected load of %s passes its capacity of %s\n", s.Site, amount(s.LoadAfter), amount(s.Capacity))
		}
	}
	switch {
	case c.First == "":
		b.WriteString("No site that has users states a capacity, so nothing is known of overload.\n")
	case c.Total == 0:
		fmt.Fprintf(b, "The sites carry a load of %s in all; beyond it %s is the first above its capacity. (The load to expect is not known.)\n", amount(c.Carries), c.First)
	case len(c.Overloaded) == 0:
		fmt.Fprintf(b, "No site is overloaded; without shedding, %s would be the first, from %s in all.\n", c.First, amount(c.Carries))
	}
}

func (n *NameChange) write(b *bytes.Buffer, by By, where bool) {
	fmt.Fprintf(b, "\n%s: ", n.title())
	switch {
	case n.New:
		b.WriteString("new\n")
	case n.Removed:
		b.WriteString("no longer there\n")
	case n.Moved == 0:
		b.WriteString("nobody moves\n")
	default:
		fmt.Fprintf(b, "%s of its users move\n", Percent(n.Moved))
	}
	if n.FailOpen > 0 {
		fmt.Fprintf(b, "  ! %s are sent as though all sites were up (fail open): none of theirs is\n", Percent(n.FailOpen))
	}
	if n.LastResort > 0 {
		fmt.Fprintf(b, "  ! %s are sent to the last resort\n", Percent(n.LastResort))
	}
	tw := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	for _, m := range n.Moves {
		fmt.Fprintf(tw, "  %s\t%s\t%s -> %s\n", m.label(by), Percent(m.Share), m.From, m.To)
	}
	tw.Flush()
	n.Rest.write(b, "moves")
	if !where || n.Removed {
		return
	}
	fmt.Fprintf(b, "  where they are then:\n")
	for _, r := range n.Rows {
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", r.label(by), Percent(r.Share), siteList(r.Sites))
	}
	tw.Flush()
	unit := "groups"
	switch by {
	case ByCountry:
		unit = "countries"
	case ByOperator:
		unit = "operators"
	}
	n.RestRows.write(b, unit)
}

func (n *NameChange) title() string {
	const most = 3
	if more := len(n.Names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(n.Names[:most], " "), more)
	}
	return strings.Join(n.Names, " ")
}

func (r Rest) write(b *bytes.Buffer, what string) {
	if r.Count > 0 {
		fmt.Fprintf(b, "  and %d more %s: %s\n", r.Count, what, Percent(r.Share))
	}
}

// label is the group in a table of groups so told apart.
func (g Group) label(by By) string {
	switch {
	case by == ByBoth && g.Country != "" && g.Operator == "":
		return clean(g.Country) + ", operator unknown"
	case g == (Group{}):
		return "unknown"
	}
	return clean(g.String())
}

// siteList lists the largest.
func siteList(all []SiteShare) string {
	const most = 5
	var parts []string
	rest := 0.0
	for i, s := range all {
		if i >= most {
			rest += s.Share
			continue
		}
		parts = append(parts, s.Site+" "+Percent(s.Share))
	}
	if rest > 0 {
		parts = append(parts, fmt.Sprintf("%d more %s", len(all)-most, Percent(rest)))
	}
	return strings.Join(parts, ", ")
}

func change(before, after string) string {
	if before == after {
		return after
	}
	return before + " -> " + after
}

// Percent is a share, 0 to 1, as people read it everywhere that forecasts are shown: with
// one decimal where that is not 0. A little is not nothing.
func Percent(share float64) string {
	switch {
	case share > 0 && share < 0.0005:
		return "< 0.1 %"
	case share < 1-1e-9 && share > 0.9995: // a sum of shares is not quite 1
		return "> 99.9 %"
	}
	return strings.TrimSuffix(strconv.FormatFloat(100*share, 'f', 1, 64), ".0") + " %"
}

// amount is a number for people: three digits that count, more where it is larger.
func amount(x float64) string {
	digits := 0
	if x > 0 && x < 100 {
		digits = max(0, 2-int(math.Floor(math.Log10(x))))
	}
	text := strconv.FormatFloat(x, 'f', min(digits, 6), 64)
	if strings.Contains(text, ".") {
		return strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return text
}

// clean keeps what databases say from doing something to a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
