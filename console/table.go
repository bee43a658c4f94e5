package console

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A table aligns its columns; a row's notes stand beneath it, out of the columns.
type table struct {
	title string
	rows  []row // the first is the heading
}

type row struct {
	cells []string
	notes []string
}

func newTable(title string, heading ...string) *table {
	return &table{title, []row{{cells: heading}}}
}

func (t *table) add(cells ...string) *row {
	t.rows = append(t.rows, row{cells: cells})
	return &t.rows[len(t.rows)-1]
}

func (r *row) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// write prints the table, or nothing when it has no row but the heading.
func (t *table) write(w io.Writer) error {
	if len(t.rows) < 2 {
		return nil
	}
	widths := make([]int, len(t.rows[0].cells))
	for _, r := range t.rows {
		for i, c := range r.cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(clean(c)))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n", t.title)
	for _, r := range t.rows {
		line := " "
		for i, c := range r.cells {
			c = clean(c)
			line += " " + c + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+1)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		for _, n := range r.notes {
			fmt.Fprintf(&b, "    └ %s\n", clean(n))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// clean makes a text from elsewhere harmless in a terminal: a probe's detail
// comes from the server that is probed, and could hold escape sequences.
func clean(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, unprintable) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unprintable(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// unprintable holds for control and format characters (those of writing
// direction among them) and odd spaces.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// age is a duration in its two largest units: "2m10s", "3h12m", "5d4h".
func age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// sinceText is the age at now, or "-" when since isn't known.
func sinceText(since, now time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return age(now.Sub(since))
}
