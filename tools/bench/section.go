package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// pageHead comes before the parts.
const pageHead = `# Benchmarks

<!-- Written by tools/bench: a run replaces the part between its two marks. -->

What gslb costs for each answer, beside other servers and by itself. Each part tells on what machine, when and with which command it was measured;
figures of different parts, or of different machines, are not to be compared.
`

// mark begins (or ends) the part of a benchmark on the page.
func mark(end, name string) string { return "<!-- " + end + "bench " + name + " -->\n" }

// writePage writes the plots and replaces the benchmark's part of the page.
func writePage(out, name, part string, plots map[string]string) error {
	dir := plotDirectory(out)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for file, text := range plots {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	old, err := os.ReadFile(out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(out, []byte(replacePart(string(old), name, part)), 0o644)
}

// plotDirectory is where the plots of the page go: benchmarks for benchmarks.md.
func plotDirectory(out string) string { return strings.TrimSuffix(out, filepath.Ext(out)) }

// plotLink is a plot on the page.
func plotLink(o *options, about, file string) string {
	return fmt.Sprintf("![%s](%s/%s)\n", about, filepath.Base(plotDirectory(o.Out)), file)
}

// replacePart writes the page anew: its head, and the parts in the order of the
// benchmarks, those that did not run as they were.
func replacePart(page, name, part string) string {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, c := range partNames() {
		text := partOf(page, c)
		if c == name {
			text = strings.TrimSuffix(part, "\n") + "\n"
		}
		if text != "" {
			b.WriteString("\n" + mark("", c) + text + mark("/", c))
		}
	}
	return b.String()
}

// partOf is what stands between a benchmark's marks.
func partOf(page, name string) string {
	_, rest, ok := strings.Cut(page, mark("", name))
	if !ok {
		return ""
	}
	text, _, _ := strings.Cut(rest, mark("/", name))
	return text
}
