package health

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// AllNames is the Name of a Release that is for every steered name without one of its own.
const AllNames = "*"

// MaxGeneration bounds a content generation, in characters.
const MaxGeneration = 100

// Release says which content generation the users of a steered name are to see. A
// policy that holds gives new users only to sites that serve it.
type Release struct {
	Name       string    `json:"name"` // the steered name, or AllNames
	Generation string    `json:"generation"`
	Who        string    `json:"who"`
	Why        string    `json:"why"`
	Since      time.Time `json:"since"`
}

// Released returns the generation that is released for a steered name; "": none is.
func (s *States) Released(name string) string {
	if s == nil {
		return ""
	}
	if r, ok := s.Releases[name]; ok {
		return r.Generation
	}
	return s.Releases[AllNames].Generation
}

// Serves tells whether the site serves the generation and no other. One that does
// not say what it serves does not.
func (s Status) Serves(generation string) bool {
	return len(s.Generations) == 1 && s.Generations[0] == generation
}

// Generation makes one word of at most MaxGeneration characters of what a server
// states as its generation: what is not printable is left out, blanks become "_", and so
// do commas, which stand between the generations of a site that serves several.
func Generation(stated string) string {
	word := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), r == ',':
			return '_'
		case !unicode.IsPrint(r), r == utf8.RuneError:
			return -1
		}
		return r
	}, strings.TrimSpace(stated))
	if utf8.RuneCountInString(word) > MaxGeneration {
		word = string([]rune(word)[:MaxGeneration])
	}
	return word
}

// JoinGenerations writes generations as they stand in a Vote or a Report: sorted,
// each once, commas between them.
func JoinGenerations(all []string) string {
	all = slices.DeleteFunc(slices.Clone(all), func(g string) bool { return g == "" })
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ",")
}

// generations are those that the site serves, as its live balancers and those
// vantage points say that reach it: sorted, each once.
func (e *evidence) generations() (all []string) {
	add := func(joined string) {
		for g := range strings.SplitSeq(joined, ",") {
			if g = Generation(g); g != "" {
				all = append(all, g)
			}
		}
	}
	for _, r := range e.reports {
		add(r.Generation)
	}
	for _, v := range e.votes {
		if (v.State == Up || v.State == Degraded) && !e.blind[v.Vantage] {
			add(v.Generation)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// releases are those in force: of two for one name the later counts.
func releases(all []Release) map[string]Release {
	var out map[string]Release
	for _, r := range all {
		if old, ok := out[r.Name]; ok && !r.Since.After(old.Since) {
			continue
		}
		if out == nil {
			out = map[string]Release{}
		}
		out[r.Name] = r
	}
	return out
}
