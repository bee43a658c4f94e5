package main

import (
	"fmt"
	"strconv"
	"strings"
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
	best, bound, holds := "", max(1, (len(word)+1)/3)+1, ""
	for key, name := range n {
		if len(key) < len(word)+bound && len(word) < len(key)+bound {
			if d := editDistance(word, key); d < bound || d == bound && best != "" && name < best {
				best, bound = name, d
			}
		}
		if len(word) >= 3 && strings.Contains(key, word) && (holds == "" || len(name) < len(holds) || len(name) == len(holds) && name < holds) {
			holds = name
		}
	}
	if best == "" {
		best = holds
	}
	return best
}

// editDistance counts the letters to insert, delete or replace to make b of a.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(y)]
}
