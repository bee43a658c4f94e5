package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gslb/config"
)

// nameSet is a set of names, by their form in lower case.
type nameSet map[string]string

func (n nameSet) add(s string) {
	if s != "" {
		n[strings.ToLower(s)] = s
	}
}

// suggest is a hint at the similar name, "" without one.
func (n nameSet) suggest(written string) string {
	if name := n.similar(written); name != "" {
		return fmt.Sprintf("; did you mean %q?", name)
	}
	return ""
}

// similar gives the name that was probably meant: one that differs by few
// letters, or else the shortest one that holds what was written.
func (n nameSet) similar(written string) string {
	word := strings.ToLower(written)
	if _, err := strconv.Atoi(word); err == nil {
		return "" // numbers that look alike have nothing in common
	}
	if near := config.Nearest(word, slices.Collect(maps.Keys(n))); near != "" {
		return n[near]
	}
	holds := ""
	for key, name := range n {
		if len(word) >= 3 && strings.Contains(key, word) && (holds == "" || len(name) < len(holds) || len(name) == len(holds) && name < holds) {
			holds = name
		}
	}
	return holds
}
