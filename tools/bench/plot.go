package main

import (
	"fmt"
	"html"
	"strings"
)

// plottedFigure is one plot of the comparison.
type plottedFigure struct {
	file, title, unit string
	format            string
	of                func(*sample) float64
}

// plottedFigures in the order of the page.
var plottedFigures = []plottedFigure{
	{"cpu.svg", "CPU time for each answer", "µs, less is better", "%.2f", cpuPerAnswer},
	{"rate.svg", "Answers per second", "thousands, one core", "%.0f", func(s *sample) float64 { return s.Rate / 1000 }},
	{"p50.svg", "Latency at full load, median", "µs", "%.0f", func(s *sample) float64 { return s.P50 }},
	{"p99.svg", "Latency at full load, 99th percentile", "µs", "%.0f", func(s *sample) float64 { return s.P99 }},
	{"loss.svg", "Queries without an answer", "% of all", "%.3f", func(s *sample) float64 { return 100 * s.Loss }},
	{"memory.svg", "Memory", "MiB", "%.0f", func(s *sample) float64 { return s.Memory }},
}

// plots are all plots by the name of their files.
func (c *comparison) plots() map[string]string {
	files := map[string]string{}
	for _, f := range plottedFigures {
		files[f.file] = c.plot(f)
	}
	return files
}

// plot draws one figure: a panel for each workload.
func (c *comparison) plot(f plottedFigure) string {
	var panels []panel
	for i := range c.workloads {
		w := &c.workloads[i]
		p := panel{title: w.title}
		for _, who := range c.contestants {
			s := c.series[w.name][who.title]
			if len(s) == 0 {
				continue
			}
			class := "other"
			switch {
			case who.isEcho():
				class = "echo"
			case who.title == gslb.title:
				class = "gslb"
			}
			p.bars = append(p.bars, bar{who.title, class, s.figure(f.of)})
		}
		if len(p.bars) > 0 {
			panels = append(panels, p)
		}
	}
	return drawBars(f.title, f.unit, f.format, panels)
}

// panel is a group of bars with a scale of its own.
type panel struct {
	title string
	bars  []bar
}

type bar struct {
	label, class string // class: gslb, echo or other
	spread       spread
}

// Sizes of the plots in pixels. Two panels stand side by side.
const (
	panelWidth = 450
	panelGap   = 24
	labelWidth = 92
	valueWidth = 60
	barLength  = panelWidth - labelWidth - valueWidth
	barHeight  = 13
	rowHeight  = 18
	panelHead  = 30
	plotHead   = 34
)

// style adapts to a dark page.
const style = `<style>
text { font: 12px system-ui, sans-serif; fill: #24292f }
.head { font-weight: 600; font-size: 15px } .unit { fill: #57606a }
.title { font-weight: 600 }
.value { font-variant-numeric: tabular-nums }
.other { fill: #9aa7b5 } .gslb { fill: #2563eb } .echo { fill: #d4dae1 }
.range { stroke: #24292f; stroke-width: 1.2 } .line { fill: none; stroke-width: 2 }
.axis { stroke: #d0d7de; stroke-width: 1 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .unit { fill: #9aa4af } .range { stroke: #e6edf3 } .other { fill: #6b7785 } .gslb { fill: #5b8def } .echo { fill: #3a434d } .axis { stroke: #3a434d } }
</style>
`

// drawBars draws horizontal bars, the median of each, with a line over the middle
// half of the measurements.
func drawBars(title, unit, format string, panels []panel) string {
	var body strings.Builder
	fmt.Fprintf(&body, `<text class="head" x="4" y="20">%s <tspan class="unit" font-weight="400">(%s)</tspan></text>`+"\n", html.EscapeString(title), html.EscapeString(unit))
	y := plotHead
	for i := 0; i < len(panels); i += 2 {
		height := 0
		for j, p := range panels[i:min(i+2, len(panels))] {
			height = max(height, drawPanel(&body, p, format, j*(panelWidth+panelGap), y))
		}
		y += height
	}
	return svg(2*panelWidth+panelGap, y+4, title, body.String())
}

// svg is the whole picture.
func svg(width, height int, title, body string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-label="%[3]s">
%[4]s%[5]s</svg>
`, width, height, html.EscapeString(title), style, body)
}

// drawPanel draws one group and returns its height.
func drawPanel(b *strings.Builder, p panel, format string, x, top int) int {
	most := 0.0
	for _, r := range p.bars {
		most = max(most, r.spread.high, r.spread.median)
	}
	scale := func(v float64) float64 {
		if most == 0 {
			return 0
		}
		return v / most * barLength
	}
	fmt.Fprintf(b, `<text class="title" x="%d" y="%d">%s</text>`+"\n", x+4, top+18, html.EscapeString(p.title))
	y, left := top+panelHead, float64(x+labelWidth)
	for _, r := range p.bars {
		middle := float64(y) + barHeight/2.0
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, x+labelWidth-6, y+11, html.EscapeString(r.label))
		fmt.Fprintf(b, `<rect class="%s" x="%.0f" y="%d" width="%.1f" height="%d" rx="2"/>`, r.class, left, y, scale(r.spread.median), barHeight)
		if r.spread.high > r.spread.low {
			fmt.Fprintf(b, `<line class="range" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, left+scale(r.spread.low), middle, left+scale(r.spread.high), middle)
		}
		fmt.Fprintf(b, `<text class="value" x="%.1f" y="%d">%s</text>`+"\n", left+scale(max(r.spread.high, r.spread.median))+6, y+11, fmt.Sprintf(format, r.spread.median))
		y += rowHeight
	}
	return y - top + 8
}
