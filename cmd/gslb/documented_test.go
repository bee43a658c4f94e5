package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gslb/config"
	"gslb/geo"
)

// blocks gives the fenced blocks of a language in a Markdown file.
func blocks(t *testing.T, file, language string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	rest := string(data)
	for {
		_, after, found := strings.Cut(rest, "\n```"+language+"\n")
		if !found {
			return all
		}
		block, after, closed := strings.Cut(after, "\n```\n")
		if !closed {
			t.Fatalf("%s: a block of %s does not end", file, language)
		}
		all, rest = append(all, block+"\n"), "\n"+after
	}
}

// TestDocumentedConfigurations: the configurations that the documents show are
// good ones, with the zone file that README shows.
func TestDocumentedConfigurations(t *testing.T) {
	const readme = "../../README.md"
	zone := blocks(t, readme, "zone")
	if len(zone) != 1 {
		t.Fatalf("%s: %d zones, want 1", readme, len(zone))
	}
	for _, file := range []string{readme, "../../docs/configuration.md"} {
		all := blocks(t, file, "toml")
		if len(all) == 0 {
			t.Errorf("%s: no configuration", file)
		}
		for i, text := range all {
			dir := t.TempDir()
			for from, to := range map[string]string{"demo/geo/demo-city.mmdb": "GeoLite2-City.mmdb", "demo/geo/demo-isp.mmdb": "GeoLite2-ASN.mmdb"} {
				data, err := os.ReadFile(from)
				if err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(dir, to), string(data))
			}
			write(t, filepath.Join(dir, "abc.com.zone"), zone[0])
			text = strings.Replace(text, "/var/lib/gslb", filepath.Join(dir, "data"), 1)
			cfg, err := config.Parse(file, []byte(text), dir)
			if err != nil {
				t.Errorf("configuration %d: %v", i+1, err)
				continue
			}
			for _, w := range cfg.Warnings {
				t.Errorf("configuration %d: warning: %v", i+1, w)
			}
			places, err := geo.Open(cfg.Geo)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := (ingredients{places: places}).compile(cfg); err != nil {
				t.Errorf("%s: configuration %d: %v", file, i+1, err)
			}
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
