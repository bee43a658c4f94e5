package main

import (
	"fmt"
	"html"
	"strings"
)

// Sizes of the plot in pixels.
const (
	plotWidth  = 760
	labelWidth = 110
	barLength  = 540 // of the longest bar of a panel
	barHeight  = 16
	rowHeight  = 22
	panelHead  = 36
)

// plot draws the CPU time per answer as SVG: one panel for each workload, with a
// scale of its own, one bar for each server and a line from the least to the
// greatest repetition. It adapts to a dark page.
func (c *comparison) plot() string {
	var body strings.Builder
	y := 8
	for i := range c.workloads {
		y = c.panel(&body, &c.workloads[i], y)
	}
	height := y + 8
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="CPU time per answer by server and workload">
<style>
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 13px }
.value { font-variant-numeric: tabular-nums }
.bar { fill: #9aa7b5 } .gslb { fill: #2563eb } .echo { fill: #d4dae1 }
.range { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .range { stroke: #e6edf3 } .bar { fill: #6b7785 } .gslb { fill: #5b8def } .echo { fill: #3a434d } }
</style>
%s</svg>
`, plotWidth, height, plotWidth, height, body.String())
}

// panel draws one workload from y down and returns where the next one begins.
func (c *comparison) panel(b *strings.Builder, w *workload, y int) int {
	cpu := func(s *sample) float64 { return s.CPU }
	most := 0.0
	for _, s := range c.series[w.name] {
		_, _, greatest := s.figure(cpu)
		most = max(most, greatest)
	}
	if most == 0 {
		return y
	}
	fmt.Fprintf(b, `<text class="title" x="8" y="%d">%s: µs of CPU time per answer (less is better)</text>`+"\n", y+18, html.EscapeString(w.title))
	y += panelHead
	for _, who := range c.contestants {
		s := c.series[w.name][who.title]
		if len(s) == 0 {
			continue
		}
		median, least, greatest := s.figure(cpu)
		scale := func(v float64) float64 { return v / most * barLength }
		middle := float64(y) + barHeight/2
		class := "bar"
		if who.title == gslb.title || who.peer == nil {
			class = who.title
		}
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-8, y+12, html.EscapeString(who.title))
		fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`, class, labelWidth, y, scale(median), barHeight)
		fmt.Fprintf(b, `<line class="range" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, labelWidth+scale(least), middle, labelWidth+scale(greatest), middle)
		fmt.Fprintf(b, `<text class="value" x="%.1f" y="%d">%.2f</text>`+"\n", labelWidth+scale(greatest)+8, y+12, median)
		y += rowHeight
	}
	return y + 10
}
