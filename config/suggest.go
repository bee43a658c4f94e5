package config

import (
	"slices"
	"strings"
)

// didYouMean returns the hint that names the candidate nearest to what was
// written, or, with few candidates, all of them. It is empty when neither helps.
func didYouMean(written string, candidates []string) string {
	if near := Nearest(written, candidates); near != "" {
		return `did you mean "` + near + `"?`
	}
	return known(candidates)
}

// known lists the candidates, if they are few enough to be read.
func known(candidates []string) string {
	if len(candidates) == 0 || len(candidates) > 12 {
		return ""
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(candidates)))
	return "known: " + strings.Join(sorted, ", ")
}

// Nearest returns the candidate with the least edit distance to word, or ""
// when all are too far to have been meant. Case does not count.
func Nearest(word string, candidates []string) string {
	best, bound := "", max(1, (len(word)+1)/3)+1
	lower := strings.ToLower(word)
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(lower, strings.ToLower(c)); d < bound {
			best, bound = c, d
		}
	}
	return best
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that make b of a (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 { // no key or name is as long: not worth the square
		return max(len(x), len(y))
	}
	var older, last []int
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(x); i++ {
		older, last, row = last, row, make([]int, len(y)+1)
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
	}
	return row[len(y)]
}
