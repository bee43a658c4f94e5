package console

import (
	"fmt"
	"slices"
	"strings"

	"gslb/health"
)

// Attention is what a person should look at: s.Problems, and what the states of
// the sites, the store and the geo databases ask for and Problems doesn't say
// already; sites that are down stand first. So no view can show a site as down and say that nothing is wrong. It
// holds no ages, since a line that changes each second can't be told from a new one.
func (s Status) Attention() []string {
	var first, all []string
	add := func(to *[]string, line string, said func(problem string) bool) {
		for _, p := range s.Problems {
			if said(p) {
				return
			}
		}
		*to = append(*to, line)
	}
	for _, x := range s.Sites {
		if line, word := siteProblem(x); line != "" {
			to := &all
			if x.State == health.Down {
				to = &first
			}
			add(to, line, func(p string) bool { return speaksOf(p, x.Site, word) })
		}
	}
	if s.Stale {
		add(&first, "the store can't be reached: what other nodes said is the last known", func(p string) bool {
			return strings.HasPrefix(p, "etcd") || strings.HasPrefix(p, "the store")
		})
	}
	for _, d := range s.Geo {
		if d.Error != "" {
			add(&all, fmt.Sprintf("geo database %s: %s; the one opened before stays", d.Path, d.Error), func(p string) bool { return strings.Contains(p, d.Error) })
		}
	}
	return slices.Concat(first, s.Problems, all)
}

// mostDown is how many sites that are down a person reads about one by one.
const mostDown = 20

// readable leaves out problems that say of one site more that it is down, where these are so many
// that nobody would see the others. The second value is how many.
func (s Status) readable(problems []string) (shown []string, hidden int) {
	down := map[string]bool{}
	for _, x := range s.Sites {
		if x.State == health.Down {
			down[x.Site] = true
		}
	}
	if len(down) <= mostDown {
		return problems, 0
	}
	told := 0
	for _, p := range problems {
		if rest, ok := strings.CutPrefix(p, "site "); ok {
			if site, why, ok := strings.Cut(rest, " "); ok && down[site] && strings.HasPrefix(why, "is down") {
				if told++; told > mostDown {
					hidden++
					continue
				}
			}
		}
		shown = append(shown, p)
	}
	return shown, hidden
}

// siteProblem is what is wrong with a site, and the word that a sentence on it holds.
func siteProblem(x Site) (line, word string) {
	switch {
	case x.State == health.Down:
		word = "down"
	case x.State == health.Degraded:
		word = "degraded"
	case x.Shed > 0 && x.InService():
		return fmt.Sprintf("site %s sheds %s of its new users: %s", x.Site, shedText(x.Shed), x.Why), "sheds"
	default:
		return "", ""
	}
	return fmt.Sprintf("site %s is %s: %s", x.Site, word, x.Why), word
}

// speaksOf tells whether a problem is that of a site as a whole, "site NAME …
// word"; "site NAME: …" is one of something within it, as of a server.
func speaksOf(problem, site, word string) bool {
	rest, ok := strings.CutPrefix(problem, "site "+site+" ")
	if !ok {
		rest, ok = strings.CutPrefix(problem, fmt.Sprintf("site %q ", site))
	}
	return ok && strings.Contains(rest, word)
}
