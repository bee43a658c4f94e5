package transfer

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"gslb/zones"
)

// consuming is a node that consumes two catalogs, whose zones come without a network.
type consuming struct {
	t   *testing.T
	dir string
	m   *Manager
}

func (c *consuming) start() {
	c.m, _ = testNode(c.t, c.dir, slog.New(slog.DiscardHandler), c.config()...)
}

func (c *consuming) config() (all []ZoneConfig) {
	for _, name := range []string{"a.cat.", "b.cat."} {
		cfg := secondaryOf(name, "192.0.2.1")
		cfg.Catalog = Consumer
		all = append(all, cfg)
	}
	return all
}

// came is what a transfer of a zone does.
func (c *consuming) came(name string, lines ...string) {
	c.t.Helper()
	z := c.m.zoneAt(name)
	serial := uint32(1)
	if raw := z.raw.Load(); raw != nil {
		serial = raw.Serial + 1
	}
	text := fmt.Sprintf("$ORIGIN %s\n$TTL 0\n@ IN SOA invalid. invalid. %d 3600 600 2419200 0\n@ IN NS invalid.\n%s\n", name, serial, strings.Join(lines, "\n"))
	next, err := zones.Read(zones.Config{Name: name, File: "test"}, strings.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	c.m.edit.Lock()
	err = z.install(next, nil)
	c.m.edit.Unlock()
	if err != nil {
		c.t.Fatal(err)
	}
	c.m.catalogChanged(z)
}

const catalogVersion = `version IN TXT "2"`

func memberLine(label, name string) string { return label + ".zones IN PTR " + name }

// of tells whose member a zone is; "": nobody's.
func (c *consuming) of(name string) string {
	z := c.m.zoneAt(name)
	if z == nil {
		return ""
	}
	return z.set.Load().from.name
}

func (c *consuming) problems() (all []string) {
	for _, s := range c.m.Status() {
		all = append(all, s.Problems...)
	}
	return all
}

func (c *consuming) wants(what, catalog string, copied bool) {
	c.t.Helper()
	if got := c.of("x."); got != catalog {
		c.t.Errorf("%s: a member of %q, want %q", what, got, catalog)
	}
	if z := c.m.zoneAt("x."); z != nil && (z.raw.Load() != nil) != copied {
		c.t.Errorf("%s: there is a copy: %v, want %v", what, !copied, copied)
	}
	if _, err := os.Stat(c.m.pathOf("x.", "journal")); (err == nil) != copied {
		c.t.Errorf("%s: the copy on disk: %v, want %v", what, err, copied)
	}
}

// TestCatalogOwner: a zone stays that of the catalog that had it first, over reloads
// and restarts, until that gives it over or away; what is known of it stays as long as
// it is the same (RFC 9432, sections 4.3.1 and 5).
func TestCatalogOwner(t *testing.T) {
	c := &consuming{t: t, dir: t.TempDir()}
	c.start()
	x := func() { c.came("x.", "www IN A 192.0.2.1") }
	c.came("b.cat.", catalogVersion, memberLine("one", "x."))
	x()
	c.came("a.cat.", catalogVersion, memberLine("two", "x."), memberLine("y", "y."))
	c.wants("another catalog lists it too", "b.cat.", true)
	if all := c.problems(); !slices.ContainsFunc(all, func(s string) bool {
		return strings.Contains(s, "the catalog a.cat. lists the zone x., which is a member of the catalog b.cat.")
	}) {
		t.Errorf("problems: %q", all)
	}
	for range 8 {
		configure(t, c.m, c.config()...)
		c.wants("after a reload", "b.cat.", true)
	}
	for range 4 {
		c.start()
		c.wants("after a restart", "b.cat.", true)
	}
	// A change of ownership with the same label keeps what there is.
	c.came("b.cat.", catalogVersion, memberLine("one", "x."), "coo.one.zones IN PTR a.cat.")
	c.wants("given over, label two", "a.cat.", false)
	x()
	if all := c.problems(); len(all) > 0 {
		t.Errorf("problems of a change of ownership: %q", all)
	}
	c.came("b.cat.", catalogVersion, memberLine("two", "x."))
	c.came("a.cat.", catalogVersion, memberLine("two", "x."), memberLine("y", "y."), "coo.two.zones IN PTR b.cat.")
	c.wants("given back, the same label", "b.cat.", true)
	c.came("a.cat.", catalogVersion, memberLine("y", "y."))
	c.wants("gone where it was", "b.cat.", true)
	// Another label is another zone.
	before := c.m.zoneAt("x.")
	c.came("b.cat.", catalogVersion, memberLine("three", "x."))
	c.wants("another label", "b.cat.", false)
	if c.m.zoneAt("x.") == before {
		t.Error("another label: the same zone")
	}
	x()
	c.start()
	c.wants("another label, after a restart", "b.cat.", true)
	// Catalogs that are broken change nothing.
	for what, lines := range map[string][]string{
		"without a version":   {memberLine("three", "z.")},
		"two zones at a name": {catalogVersion, memberLine("three", "x."), memberLine("three", "z.")},
		"a zone twice":        {catalogVersion, memberLine("three", "z."), memberLine("four", "z.")},
	} {
		c.came("b.cat.", lines...)
		c.wants(what, "b.cat.", true)
		c.start()
		c.wants(what+", after a restart", "b.cat.", true)
		if all := c.problems(); !slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, "the catalog b.cat. is broken: it ") }) {
			t.Errorf("%s: problems: %q", what, all)
		}
	}
	c.came("b.cat.", catalogVersion)
	c.wants("not listed any more", "", false)
	if c.of("y.") != "a.cat." {
		t.Error("y. is gone")
	}
	// Without coo it is another zone, too.
	c.came("b.cat.", catalogVersion, memberLine("one", "x."))
	x()
	c.came("a.cat.", catalogVersion, memberLine("one", "x."))
	c.came("b.cat.", catalogVersion)
	c.wants("given away", "a.cat.", false)
	if all := c.problems(); len(all) > 0 {
		t.Errorf("problems at the end: %q", all)
	}
}
