package console

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"gslb/health"
)

// POST /api/v1/release
func (s *Server) postRelease(w http.ResponseWriter, r *http.Request) error {
	var rel health.Release
	if err := decode(r, &rel); err != nil {
		return err
	}
	rel.Who, rel.Why, rel.Since = strings.TrimSpace(rel.Who), strings.TrimSpace(rel.Why), s.now().UTC().Truncate(time.Second)
	if rel.Who == "" {
		rel.Who = remote(r).String()
	}
	if rel.Generation == "" || health.Generation(rel.Generation) != rel.Generation {
		return fmt.Errorf("%w: generation %.120q: must be one word of 1 to %d characters, without commas", ErrInvalid, rel.Generation, health.MaxGeneration)
	}
	if err := checkWhy(rel.Why); err != nil {
		return err
	}
	if err := checkTexts(rel.Who, rel.Why); err != nil {
		return err
	}
	var err error
	if rel.Name, err = s.released(rel.Name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	if err := s.backend.SetRelease(ctx, rel); err != nil {
		return refuse(http.StatusServiceUnavailable, "%v", err)
	}
	s.log.Info("content generation released", "name", rel.Name, "generation", rel.Generation, "who", rel.Who, "why", rel.Why, "remote", r.RemoteAddr)
	writeJSON(w, http.StatusOK, rel)
	return nil
}

// DELETE /api/v1/release/{name}?who=lee&why=done
func (s *Server) deleteRelease(w http.ResponseWriter, r *http.Request) error {
	by := orderIn(r)
	if err := checkTexts(by.Who, by.Why); err != nil {
		return err
	}
	name := r.PathValue("name")
	if !slices.ContainsFunc(s.backend.Status().Releases, func(x health.Release) bool { return x.Name == name }) { // one for a name that is gone may be taken back
		var err error
		if name, err = s.released(name); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	if err := s.backend.ClearRelease(ctx, name, by); err != nil {
		return refuse(http.StatusServiceUnavailable, "%v", err)
	}
	s.log.Info("release of a content generation cleared", "name", name, "who", by.Who, "why", by.Why, "remote", r.RemoteAddr)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// released returns the name as it is kept, if it is one for which a generation can
// be released: AllNames, or a steered name that holds.
func (s *Server) released(name string) (string, error) {
	if name == "" || name == health.AllNames {
		return health.AllNames, nil
	}
	full := strings.ToLower(strings.TrimSuffix(name, ".")) + "."
	var holds []string
	for _, n := range s.backend.Status().Steered {
		if !n.Holds {
			continue
		}
		if n.Name == full {
			return full, nil
		}
		holds = append(holds, n.Name)
	}
	if len(holds) == 0 {
		return "", fmt.Errorf("%w: name %.100q: no steered name has release = \"hold\"", ErrNotFound, name)
	}
	return "", fmt.Errorf("%w: name %.100q: must be one of those with release = \"hold\": %s", ErrNotFound, name, strings.Join(holds, ", "))
}

// releaseTable shows what is released, and which sites do not serve it.
func releaseTable(s Status) *table {
	t := newTable("RELEASES", "NAME", "RELEASED", "BY", "FOR", "WHY", "SITES WITHOUT IT")
	for _, r := range s.Releases {
		var behind []string
		for _, x := range s.Sites {
			if !x.Serves(r.Generation) {
				behind = append(behind, x.Site)
			}
		}
		t.add(r.Name, r.Generation, or(r.Who, "someone"), sinceText(r.Since, s.Now), or(r.Why, "-"), or(strings.Join(behind, ", "), "none"))
	}
	return t
}

// WriteReleases prints which content generation each site serves and which ones
// are released, for a person at a terminal.
func WriteReleases(w io.Writer, s Status) error {
	t := newTable("CONTENT GENERATIONS", "SITE", "STATE", "SERVES", "SEEN BY")
	for _, x := range s.Sites {
		var by []string
		for _, v := range x.Votes {
			if v.Generation != "" {
				by = append(by, v.Vantage+": "+v.Generation)
			}
		}
		for _, r := range x.Reports {
			if r.Generation != "" {
				by = append(by, "balancer "+r.Node+": "+r.Generation)
			}
		}
		t.add(x.Site, stateText(x.Status), or(strings.Join(x.Generations, ", "), "unknown"), or(strings.Join(by, "; "), "-"))
	}
	if err := t.write(w); err != nil {
		return err
	}
	names := newTable("NAMES THAT HOLD USERS TO A RELEASE", "NAME", "RELEASED")
	for _, n := range s.Steered {
		if n.Holds && n.Alias == "" {
			names.add(n.Name, or(n.Released, "nothing: sites are given whatever they serve"))
		}
	}
	if err := names.write(w); err != nil {
		return err
	}
	return releaseTable(s).write(w)
}
