package console

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"gslb/health"
)

// browserTimeout bounds one run of the browser, for machines that are busy.
const browserTimeout = 60 * time.Second

// chromium finds a browser. Without one the test is skipped, but in CI (GSLB_CI=1) it fails.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	if os.Getenv("GSLB_CI") == "1" {
		t.Fatal("no chromium on this machine, and GSLB_CI=1 asks for it")
	}
	t.Skip("no chromium on this machine: the page isn't tried in a browser")
	return ""
}

// browse runs the browser on a page and returns what it prints. It waits for
// the page in the browser's own time, which runs ahead when nothing is under way.
func browse(t *testing.T, page string, args ...string) string {
	t.Helper()
	bin := chromium(t)
	ctx, cancel := context.WithTimeout(t.Context(), browserTimeout)
	defer cancel()
	args = append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--user-data-dir=" + t.TempDir(), "--virtual-time-budget=4000",
	}, append(args, page)...)
	cmd := exec.CommandContext(ctx, bin, args...)
	// Its helpers are in a group of their own, so that none outlives the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // gone already, as a rule
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("browser: %v\n%s", err, errs.String())
	}
	return out.String() + "\n<!--stderr\n" + errs.String()
}

func TestPageInBrowser(t *testing.T) {
	srv := start(t, Config{}, &fake{status: demoStatus()})
	dom := browse(t, srv.URL+"/#name=www.abc.com.&client=203.0.113.7", "--enable-logging=stderr", "--dump-dom")
	for _, want := range []string{
		"1 of 5 sites down", "ns1.seoul", // head
		"Drained by kim, for another 25m0s: kernel upgrade, see change 1182", // an override
		"sheds 25%", "2 of 3 say down", "10.0.2.13:443", "isolated", "spare in service", // sites and servers
		"lgu, of tier 2", "isp is KT, not U+", "1159 km", "203.0.112.0/20", "b.www.abc.com. 60 IN A 198.51.100.10", // a decision
		`aria-label="Drain kt"`, `aria-label="Undrain tokyo"`,
	} {
		if !strings.Contains(dom, want) {
			t.Errorf("the page doesn't show %q", want)
		}
	}
	for _, bad := range []string{"Uncaught", "Content Security Policy", "undefined", "NaN"} {
		if i := strings.Index(dom, bad); i >= 0 {
			t.Errorf("the page or its log has %q: …%s…", bad, dom[max(0, i-200):min(len(dom), i+200)])
		}
	}
}

// hostile would run a script, or break out of an attribute, if it were taken as markup.
const hostile = `<img src=x onerror="document.title='OWNED'">"'><script>document.title='OWNED'</script>`

func TestPageEscapesHostileStrings(t *testing.T) {
	st := demoStatus()
	st.Node.Name, st.Problems, st.Etcd.Error, st.Geo[1].Error = hostile, []string{hostile}, hostile, hostile
	x := &st.Sites[0]
	x.Site, x.Why, x.CNAME = hostile, hostile, hostile
	x.Votes[0].Detail, x.Votes[0].Vantage = hostile, hostile
	x.Override = &health.Override{Kind: health.ForceDown, Who: hostile, Why: hostile}
	st.Zones[0].Name, st.Steered[0].Name, st.Nodes[0].Name = hostile, hostile, hostile
	st.Frontends[0].Name, st.Frontends[0].Servers[2].Detail = hostile, hostile
	srv := start(t, Config{}, &fake{status: st})
	dom := browse(t, srv.URL+"/#name="+url.QueryEscape(hostile)+"&client="+url.QueryEscape(hostile), "--dump-dom")
	if n := strings.Count(dom, "&lt;img src=x onerror="); n < 10 {
		t.Errorf("the hostile string is shown %d times as text, want at least 10", n)
	}
	for _, bad := range []string{"<img src=\"x\"", "<img src=x", "<title>OWNED", "<script>document"} {
		if s, _, _ := strings.Cut(strings.ReplaceAll(dom, "title=\""+hostile, ""), "<!--stderr"); strings.Contains(stripAttributes(s), bad) {
			t.Errorf("the page has %q as markup", bad)
		}
	}
}

// stripAttributes takes the values of attributes out: a browser writes < and >
// in them as they are, where they are harmless.
func stripAttributes(dom string) string {
	var b strings.Builder
	tag, quoted := false, false
	for _, r := range dom {
		switch {
		case quoted:
			quoted = r != '"'
			continue
		case tag && r == '"':
			quoted = true
		case r == '<':
			tag = true
		case r == '>':
			tag = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// TestScreenshots writes pictures of the page for people to look at, to the
// directory that GSLB_SCREENSHOTS names. It is not run otherwise.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("GSLB_SCREENSHOTS")
	if dir == "" {
		t.Skip("GSLB_SCREENSHOTS names no directory to write pictures to")
	}
	srv := start(t, Config{}, &fake{status: demoStatus()})
	empty := start(t, Config{}, &fake{})
	page := "/#name=www.abc.com.&client=203.0.113.7"
	for _, shot := range []struct{ name, url, size, scheme string }{
		{"light", srv.URL + page, "1440,1900", "light"},
		{"dark", srv.URL + page, "1440,1900", "dark"},
		{"phone", srv.URL + page, "500,4200", "dark"},
		{"tablet", srv.URL + page, "900,2600", "light"},
		{"empty", empty.URL + "/", "1440,1200", "light"},
	} {
		args := []string{"--window-size=" + shot.size, "--screenshot=" + filepath.Join(dir, shot.name+".png")}
		if shot.scheme == "dark" {
			args = append(args, "--force-dark-mode", "--blink-settings=preferredColorScheme=0")
		}
		browse(t, shot.url, args...)
	}
}

// TestServeDemo serves the fake for a person with a browser, on the address
// that GSLB_CONSOLE_DEMO names, until the test's time is over.
func TestServeDemo(t *testing.T) {
	addr := os.Getenv("GSLB_CONSOLE_DEMO")
	if addr == "" {
		t.Skip("GSLB_CONSOLE_DEMO names no address to serve on")
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{}, &fake{status: demoStatus()}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	t.Logf("serving http://%v/", ln.Addr())
	if err := s.Serve(t.Context(), ln); err != nil {
		t.Fatal(err)
	}
}
