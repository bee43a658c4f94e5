package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"gslb/health"
)

// judgeParts makes one verdict of those of a check's parts, by score: 1 for each
// part, or its weight. T is what must be reached: all of it for "all", 1 for
// "any", at_least for the others.
//
//	score of the parts that are up             >= T   Up
//	score of those that are up or degraded     >= T   Degraded
//	score of these and the unknown ones        >= T   Unknown
//	else                                              Down
//
// So an unknown part is taken for neither: where the others decide, they do
// (Kleene's logic of three values). "not" makes Down of Up and Degraded, Up of Down.
func (c Config) judgeParts(states []health.State) health.State {
	if c.Type == "not" {
		switch states[0] {
		case health.Unknown:
			return health.Unknown
		case health.Down:
			return health.Up
		}
		return health.Down
	}
	var up, degraded, unknown, all float64
	for i, s := range states {
		w := c.weightOf(i)
		all += w
		switch s {
		case health.Up:
			up += w
		case health.Degraded:
			degraded += w
		case health.Unknown:
			unknown += w
		}
	}
	const rounding = 1e-9 // 0.1 three times is 0.3
	need := c.need(all) - rounding
	switch {
	case up >= need:
		return health.Up
	case up+degraded >= need:
		return health.Degraded
	case up+degraded+unknown >= need:
		return health.Unknown
	}
	return health.Down
}

func (c Config) need(all float64) float64 {
	switch c.Type {
	case "all":
		return all
	case "any":
		return 1
	}
	return c.AtLeast
}

func (c Config) weightOf(i int) float64 {
	if w, ok := c.Weights[c.Of[i]]; ok && c.Type == "weighted" {
		return w
	}
	return 1
}

// partsText says what the parts say: those that do not pass, or the count.
func (c Config) partsText(states []health.State, details []string) string {
	up := 0
	var words []string
	for i, s := range states {
		if s == health.Up {
			up++
		}
		if s != health.Up || c.Type == "not" {
			words = append(words, fmt.Sprintf("%s is %s (%s)", c.Of[i], s, details[i]))
		}
	}
	text := fmt.Sprintf("%s: %d of %d up", c.Type, up, len(states))
	if c.Type == "not" {
		text = "not"
	}
	if len(words) > 0 {
		text += "; " + strings.Join(words, "; ")
	}
	return text
}

// compositeProber asks all parts, one after the other. The Runner does not use
// it: there the verdicts of the parts, each with its own pace, are what counts.
type compositeProber struct {
	config Config
	parts  []Prober
}

func newComposite(c Config, t Target, m *means) (Prober, error) {
	if len(c.Parts) != len(c.Of) || len(c.Of) == 0 {
		return nil, fmt.Errorf("check of %s: the checks that %q is made of are not known", t, c.Name)
	}
	p := &compositeProber{config: c}
	var faults []error
	for _, part := range c.Parts {
		prober, err := newProber(part, t, m)
		faults = append(faults, err)
		p.parts = append(p.parts, prober)
	}
	return p, errors.Join(faults...)
}

func (p *compositeProber) Probe(ctx context.Context) (Seen, error) {
	states, details := make([]health.State, len(p.parts)), make([]string, len(p.parts))
	var warnings []string
	for i, part := range p.parts {
		seen, err := part.Probe(ctx)
		switch {
		case ctx.Err() != nil:
			return Seen{}, ctx.Err()
		case errors.Is(err, ErrNotProbed):
			details[i] = err.Error()
		case err != nil:
			states[i], details[i] = health.Down, err.Error()
		case seen.Said != health.Unknown:
			states[i], details[i] = seen.Said, seen.Detail
		case seen.Degraded:
			states[i], details[i] = health.Degraded, seen.Detail
		default:
			states[i] = health.Up
		}
		if seen.Warning != "" {
			warnings = append(warnings, seen.Warning)
		}
	}
	text := p.config.partsText(states, details)
	switch p.config.judgeParts(states) {
	case health.Unknown:
		return Seen{}, fmt.Errorf("%w: %s", ErrNotProbed, text)
	case health.Down:
		return Seen{}, errors.New(text)
	case health.Degraded:
		return Seen{Degraded: true, Detail: text, Warning: strings.Join(warnings, "; ")}, nil
	}
	return Seen{Detail: text, Warning: strings.Join(warnings, "; ")}, nil
}

func (c Config) validateParts(bad func(key, msg string)) {
	switch {
	case len(c.Of) == 0:
		bad("of", `is not set: must name the checks that it is made of, such as ["web", "db"]`)
	case c.Type == "not" && len(c.Of) > 1:
		bad("of", fmt.Sprintf("has %d checks: not takes one; make another of them first", len(c.Of)))
	case len(c.Of) > maxParts:
		bad("of", fmt.Sprintf("has %d checks: must be at most %d", len(c.Of), maxParts))
	}
	for i, name := range c.Of {
		if slices.Contains(c.Of[:i], name) {
			bad(fmt.Sprintf("of[%d]", i), fmt.Sprintf("%q: listed twice", name))
		}
	}
	all := 0.0
	for i := range c.Of {
		all += c.weightOf(i)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Weights)) {
		if w := c.Weights[name]; !(w > 0) || w > math.MaxInt32 {
			bad("weights", fmt.Sprintf("%s: %v: must be a number above 0", name, w))
		}
		if !slices.Contains(c.Of, name) {
			bad("weights", fmt.Sprintf("%q: is not one of the checks in of", name))
		}
	}
	if c.Type != "at-least" && c.Type != "weighted" || len(c.Of) == 0 {
		return
	}
	switch {
	case c.AtLeast == 0:
		bad("at_least", "is not set: must be how much has to pass")
	case c.Type == "at-least" && c.AtLeast != math.Trunc(c.AtLeast):
		bad("at_least", fmt.Sprintf("%v: must be a whole number; for weights there is the type \"weighted\"", c.AtLeast))
	case c.AtLeast < 0 || c.AtLeast > all:
		bad("at_least", fmt.Sprintf("%v: must be above 0 and at most %v, which is all of it", c.AtLeast, all))
	}
}

// Resolve returns the checks with their names, and with the checks that others
// are made of in their Parts. bad is told of each check that is, by a way, made of
// itself, with the key; its Parts stay empty. So do those of names that are not there,
// which are the caller's matter.
func Resolve(checks map[string]Config, bad func(check, key, msg string)) map[string]Config {
	out := make(map[string]Config, len(checks))
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		left := maxLeaves
		out[name] = resolve(checks, name, nil, &left, bad)
	}
	return out
}

// resolve resolves one check. way leads to it, left is how many more may be met
// in all: checks that share their parts would multiply with each level.
func resolve(checks map[string]Config, name string, way []string, left *int, bad func(check, key, msg string)) Config {
	c := checks[name]
	c.Name = name
	way = append(slices.Clone(way), name)
	for i, of := range c.Of {
		part, ok := checks[of]
		if !ok {
			continue
		}
		if at := slices.Index(way, of); at >= 0 {
			if at == 0 { // those on the way to a circle are not at fault
				bad(name, fmt.Sprintf("of[%d]", i), fmt.Sprintf("%q: is made of this check in turn: %s -> %s", of, strings.Join(way, " -> "), of))
			}
			return c
		}
		if *left--; *left < 0 {
			if *left == -1 {
				bad(way[0], "of", fmt.Sprintf("is made of more than %d checks in all", maxLeaves))
			}
			return c
		}
		part = resolve(checks, of, way, left, bad)
		part.OwnPort = part.Port != 0
		c.Parts = append(c.Parts, part)
	}
	return c
}

const (
	maxParts  = 64  // of one check
	maxLeaves = 256 // parts of parts included
)
