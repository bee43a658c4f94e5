package probe

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gslb/health"
)

// GenerationSource is where a check that succeeds finds the content generation
// that its target serves: one of the three. What is not there is no failure of the
// check; the generation is then not known. See [health.Generation] for what is
// made of what is found. Checks of type push have it from the report.
type GenerationSource struct {
	Header string `toml:"header"` // of the response, for http and https
	JSON   string `toml:"json"`   // path in its body, as in the key json
	File   string `toml:"file"`   // on the machine that checks; its first 4 KiB
}

// maxGenerationFile bounds what is read of a file, in octets.
const maxGenerationFile = 4 << 10

func (c Config) validateGeneration(bad func(key, msg string)) {
	g := c.Generation
	n := 0
	for _, s := range []string{g.Header, g.JSON, g.File} {
		if s != "" {
			n++
		}
	}
	http := c.Type == "http" || c.Type == "https"
	switch {
	case n > 1:
		bad("generation", "has several of header, json and file: must be one of them")
	case !http && g.Header != "":
		bad("generation.header", fmt.Sprintf("is only for http and https, and this check is of type %q: use file, or a check of type push", c.Type))
	case !http && g.JSON != "":
		bad("generation.json", fmt.Sprintf("is only for http and https, and this check is of type %q: use file, or a check of type push", c.Type))
	}
	if g.Header != "" {
		validateHeader("generation.header", g.Header, bad)
	}
	if _, err := parseJSONPath(g.JSON); err != nil {
		bad("generation.json", err.Error())
	}
	if g.JSON != "" && c.Method == "HEAD" {
		bad("generation.json", `is in the body, and the method "HEAD" is answered without one: use header`)
	}
	if g.File != "" && !filepath.IsAbs(g.File) {
		bad("generation.file", fmt.Sprintf("%q: must be an absolute name, since each node reads its own", g.File))
	}
}

// fileGeneration asks another prober, and finds the generation in a file.
type fileGeneration struct {
	Prober
	file string
}

func (p *fileGeneration) Probe(ctx context.Context) (Seen, error) {
	seen, err := p.Prober.Probe(ctx)
	if err == nil {
		seen.Generation = readGeneration(p.file)
	}
	return seen, err
}

func readGeneration(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxGenerationFile))
	if err != nil {
		return ""
	}
	return health.Generation(string(text))
}

// serves are the generations that the last successes have seen, of all parts. r.mu is held.
func (u *unit) serves() string {
	if len(u.parts) == 0 {
		return u.generation
	}
	var all []string
	for _, p := range u.parts {
		all = append(all, p.serves())
	}
	return health.JoinGenerations(all)
}

// renewed tells all who care that u has seen another generation. r.mu is held.
func (r *Runner) renewed(u *unit) {
	for _, e := range u.entries {
		r.announce(e)
	}
	for _, p := range u.parents {
		r.renewed(p)
	}
}
