package console

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gslb/health"
)

const decision = "/#name=www.abc.com.&client=203.0.113.7"

func TestPage(t *testing.T) {
	b := openBrowser(t)
	for _, tt := range []struct {
		name string
		test func(*testing.T, *browser)
	}{
		{"shows the fleet", testPageShows},
		{"shows the day's work", testPageWork},
		{"says what if", testPageWhatIf},
		{"gives all orders", testPageGives},
		{"explains", testPageExplains},
		{"orders by keyboard", testPageOrders},
		{"asks for the token", testPageToken},
		{"escapes hostile strings", testPageEscapes},
		{"doesn't shift", testPageStands},
		{"fits a phone", testPageFits},
		{"says when the node is gone", testPageLost},
		{"finds among many sites", testPageFinds},
		{"starts empty", testPageEmpty},
		{"shows a long reason whole", testPageReason},
		{"marks what is old", testPageStale},
		{"never says nothing when a site is down", testPageAttention},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.t = t
			b.size(1440, 900)
			tt.test(t, b)
			b.clean()
		})
	}
	b.t = t
}

// wantText checks what a person reads in the part of the page.
func wantText(t *testing.T, b *browser, selector string, wants ...string) {
	t.Helper()
	text := b.eval(`document.querySelector("` + selector + `").innerText.replace(/\s+/g, " ")`)
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s doesn't show %q:\n%s", selector, want, text)
		}
	}
	for _, bad := range []string{"undefined", "NaN", "[object", "null"} {
		if strings.Contains(text, bad) {
			t.Errorf("%s shows %q:\n%s", selector, bad, text)
		}
	}
}

func testPageShows(t *testing.T, b *browser) {
	srv := start(t, Config{}, &fake{status: demoStatus(), live: true})
	b.open(srv.URL)
	b.wait(`document.querySelector("#fact-rate").textContent.endsWith("/s")`) // the second poll
	wantText(t, b, "header", "ns1.seoul", "1.2.3", "1 of 5 sites down", "/s", "4711", "embedded")
	wantText(t, b, "#map-cards", "kt down", "lgu up", "tokyo draining", "virginia degraded", "frankfurt unknown")
	wantText(t, b, "#problems", "site kt is down", "search tree ends early", "site virginia is degraded")
	wantText(t, b, "#sites", "2 of 3 vantage points say down", "9600 of 10k · 96%", "sheds 25%", "2 down, 1 up", "1 degraded, 1 up", "no vote",
		"Drained by kim, for another 2", "kernel upgrade, see change 1182", "61%", "not reported")
	wantText(t, b, "#drains", "tokyo", "emptying", "1m needed", "Open 310", "in about 2", "NTT, JP 280 3900 203.0.113.0/24, 198.51.100.0/24 and 7 more", "and 2 more operators", "203.0.113.7:51034 (NTT, JP) for 3h0m")
	labels := b.eval(`[...document.querySelectorAll("#sites button")].map(b => b.getAttribute("aria-label")).join()`)
	if labels != "Drain kt,Drain lgu,Undrain tokyo,Drain virginia,Drain frankfurt" {
		t.Errorf("buttons: %s", labels)
	}
	b.view("servers")
	wantText(t, b, "#frontends", "lgu / www proxy", "engine epoll", "10.0.2.11:443 in service 4820 312 3 96% 12.4 ms 187 ms –", "10.0.2.13:443 2 connects failed", "isolated", "spare in service",
		"kt / www dsr (tcx)", "not xdp: no driver support", "The console of lb1.kt", "connection refused", "4×")
	wantText(t, b, "#announced-panel", "by AS 65010, router ID 10.0.0.2", "10.0.0.1 (AS 65000) session up 3d4h –", "fd00::1 (AS 65000) active 4m", "the neighbour was silent for the hold time",
		"198.51.100.10 announced 3d4h frontend www: 3 of 4", "198.51.100.20 soon –", "2001:db8::20 withdrawn 9m", "frontend mail: no server")
	b.wait(`document.querySelector("#incidents").innerText.includes("Nothing so far")`) // the fake has no events of balancers
	b.eval(`document.querySelector("#clients-form button").click()`)
	b.wait(`document.querySelector("#clients table")`)
	wantText(t, b, "#clients", "9600 connections are open", "203.0.113.0/24 KT, Seoul, KR 5210")
	b.view("zones")
	wantText(t, b, "main", "api.abc.com.", "2026112201", "ns1.virginia", "GeoLite2-City", "new file refused 7m", "the one read before stays: search tree ends early")
}

// testPageWork goes through the views as one who wants to know what goes on.
func testPageWork(t *testing.T, b *browser) {
	f := busy()
	srv := start(t, Config{}, f)
	b.open(srv.URL)
	b.wait(`document.querySelector("#held").innerText.includes("would move from")`) // it has asked who would
	wantText(t, b, "#held", "New databases", "held for 4m", "34.2 % of the users", "frankfurt 8.1 % → 40.4 % of users", "1 site that would go down", "let through in 2", "20 % of users would move from virginia to frankfurt (+20 %)", "Let through …", "Drop …")
	wantText(t, b, "#views", "Overview held", "Rollout canary", "Health !")
	b.view("health")
	wantText(t, b, "#verdicts", "kt down", "2 of 3 vantage points say down", "ns1.seoul – kt down", "dial tcp 192.0.2.10:80: connection refused", "Its balancer lb1.kt says: 0 of 2 servers are healthy",
		"down for the audience verizon alone", "ns1.virginia Ashburn, US verizon up", "No vantage point has a verdict")
	if got := b.eval(`[...document.querySelectorAll("#verdicts details")].map(d => d.open).join()`); got != "true,false,false,true,true" {
		t.Errorf("open: %s; those are to be whose evidence tells more than that they are up", got)
	}
	wantText(t, b, "#audiences", "verizon Verizon ns1.virginia, ns2.virginia virginia", "kt KT or Korea Telecom ns1.seoul (2 needed) nothing")
	wantText(t, b, "#vantages", "ns1.tokyo NTT, Tokyo, JP – 1 down, 2 up")
	b.view("rollout")
	b.wait(`document.querySelector("#revisions table")`)
	wantText(t, b, "#topology", "Revision 6 is served, by lee", "third site in Europe", "Canary: revision 7", "On ns1.tokyo, by kim", "ns1.tokyo revision 7 canary", "ns1.virginia revision 5 not 6 GeoLite2-ASN.mmdb: no such file", "ns1.seoul (this one) revision 6 as ordered")
	wantText(t, b, "#revisions", "7 canary", "Tokyo takes Osaka's users", "6 served", "rollback to 3")
	wantText(t, b, "#releases", "www.abc.com. v42 tokyo, frankfurt only sites that serve it get new users", "v42 is released for all names that hold, by park 26m")
	wantText(t, b, "#generations", "kt v42 released", "tokyo v41 straggler", "frankfurt v41, v42 straggler")
	b.eval(`document.querySelector("#diff-form button").click()`)
	b.wait(`document.querySelector("#diff ol")`)
	wantText(t, b, "#diff", "Revision 6 → 7: 1 difference", "~ revision 7: not 6")
	b.view("time-line")
	b.wait(`document.querySelectorAll("#events li").length === 7`)
	wantText(t, b, "#events", "breaker holds the new databases", "override tokyo drained until", "by kim: kernel upgrade", "canary revision 7: for ns1.tokyo first", "balancer lgu frontend www, server 10.0.2.13:443: isolated")
	b.eval(`(s => { s.value = "balancer"; s.dispatchEvent(new Event("change", {bubbles: true})) })(document.querySelector("#events-kind"))`)
	b.wait(`document.querySelectorAll("#events li").length === 2`)
	b.eval(`(s => { s.value = "kt"; s.dispatchEvent(new Event("change", {bubbles: true})) })(document.querySelector("#events-site"))`)
	b.wait(`document.querySelector("#events").innerText.includes("Nothing that fits happened")`)
}

func testPageWhatIf(t *testing.T, b *browser) {
	srv := start(t, Config{}, &fake{status: demoStatus(), live: true})
	b.open(srv.URL + "/#what-if")
	b.wait(`document.querySelector("#each table")`)
	wantText(t, b, "#each", "kt 20 % lgu +20 %", "tokyo 20 % virginia +20 %", "tokyo is full", "expected load 20k in all", "IPv4 addresses")
	b.eval(`document.querySelector('[aria-label="What if lgu goes down"]').focus()`)
	b.enter()
	b.wait(`document.querySelector("#if-result table")`)
	wantText(t, b, "#if-panel", "If lgu goes down", "20 % of users change their site", "tokyo up 20 % → 40 % 8000 of 8000 · 100 %", "lgu up → down 20 % → 0 %", "www.abc.com. api.abc.com.: 20 % of its users move", "KT, KR 15 % lgu tokyo", "and 12 more moves: 1 %")
	b.eval(`document.querySelector('#if-sites input[value="kt"]').click(); document.querySelector('#if-sites input[value="frankfurt"]').click(); document.querySelector("#if-form button").click()`)
	b.wait(`document.querySelector("#if-title").textContent === "If kt and frankfurt go down" && document.querySelector("#if-result table")`)
	b.eval(`document.querySelector("#if-total").value = "many"; document.querySelector("#if-form button").click()`)
	b.wait(`document.querySelector("#if-result .error")`)
	wantText(t, b, "#if-result", "must be a load above 0")
}

// testPageGives gives each order that is not of a site, with who and why.
func testPageGives(t *testing.T, b *browser) {
	f := busy()
	srv := start(t, Config{}, f)
	b.open(srv.URL)
	// give fills the dialog and sends it; without a why the browser does not let it go.
	give := func(title string) {
		t.Helper()
		b.wait(`document.querySelector("#order").open`)
		wantText(t, b, "#order", title)
		b.eval(`document.querySelector("#order-who").value = "lee"; document.querySelector("#order-go").click()`)
		if got := b.eval(`document.querySelector("#order").open + " " + document.querySelector("#order-why").validity.valueMissing`); got != "true true" {
			t.Errorf("%s without a why: %s", title, got)
		}
		b.eval(`document.querySelector("#order-why").focus()`)
		b.write("a reason")
		b.enter()
		b.wait(`!document.querySelector("#order").open`)
	}
	b.wait(`document.querySelector("#held .hold button")`)
	b.eval(`document.querySelectorAll("#held .hold button")[1].click()`)
	give("Drop: new databases")
	b.wait(`document.querySelector("#held").hidden`)
	b.view("rollout")
	b.wait(`document.querySelector("#revisions table")`)
	b.eval(`document.querySelector('[aria-label="Promote revision 7"]').click()`)
	give("All nodes serve revision 7; now it is on ns1.tokyo.")
	b.wait(`!document.querySelector(".canary")`)
	b.eval(`document.querySelector('[aria-label="Roll back to revision 5"]').click()`)
	give("What revision 5 was (by lee")
	b.eval(`document.querySelector('[aria-label="Release a content generation"]').click(); document.querySelector("#order-extra input").value = "v43"`)
	give("New users go only to sites that serve it")
	b.wait(`document.querySelector("#releases").innerText.includes("v43 is released")`)
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := strings.Join(f.ordered, "; "); got != "drop by lee: a reason; promote by lee: a reason; rollback by lee: a reason" {
		t.Errorf("ordered: %s", got)
	}
	if r := f.status.Releases; len(r) != 2 || r[1].Generation != "v43" || r[1].Who != "lee" || r[1].Why != "a reason" {
		t.Errorf("releases: %+v", r)
	}
}

func testPageExplains(t *testing.T, b *browser) {
	f := &fake{status: demoStatus()}
	srv := start(t, Config{}, f)
	b.open(srv.URL + decision)
	b.wait(`document.querySelector(".steps")`)
	wantText(t, b, "#try-result", "lgu, of tier 2", "Seoul, 11, KR, AS", "KT", "AS4766", "Rule 1: isp is KT, not U+", "Rule 2: isp is KT",
		"Tier 1 kt", "Tier 2 nearest:all", "1159 km", "8565 km + 200", "75%", "takes its share", "draw 0.612",
		"b.www.abc.com. 60 IN A 198.51.100.10", "203.0.112.0/20")
	if got := b.eval(`document.querySelector("tr.chosen").cells[0].textContent + document.querySelector(".card.chosen b").textContent`); got != "lgulgu" {
		t.Errorf("chosen: %s", got)
	}
	b.eval(`document.querySelector("#try-name").focus(); document.querySelector("#try-name").select()`)
	b.write("www.other.org")
	b.enter()
	b.wait(`document.querySelector("#try-result .error")`)
	wantText(t, b, "#try-result", "www.other.org. is in no zone of this node")
}

func testPageOrders(t *testing.T, b *browser) {
	f := &fake{status: demoStatus(), live: true}
	srv := start(t, Config{}, f)
	b.open(srv.URL)
	b.wait(`document.querySelector("#fact-rate").textContent.endsWith("/s")`)
	b.eval(`document.querySelector('[aria-label="Drain lgu"]').focus()`)
	b.enter()
	b.wait(`document.querySelector("#order").open`)
	wantText(t, b, "#order", "Order for lgu", "lgu now gets 3115 answers a second, 61% of all", "Its load is 9600; the other 2 in service have room for 7900, which is NOT enough", "Drain lgu")
	b.escape()
	b.wait(`!document.querySelector("#order").open`)
	// The poll must not take the focus away.
	rate := b.eval(`document.querySelector(".c-state .small").textContent`)
	b.wait(`document.querySelector(".c-state .small").textContent !== "` + rate + `"`)
	if got := b.eval(`document.activeElement.getAttribute("aria-label")`); got != "Drain lgu" {
		t.Errorf("focus is on %s", got)
	}
	b.enter()
	b.eval(`document.querySelector("#order-who").focus()`)
	b.write("lee")
	b.eval(`document.querySelector("#order-why").focus()`)
	b.write(`<b>disk</b> & "fan"`)
	b.enter()
	b.wait(`!document.querySelector("#order").open`)
	f.mu.Lock()
	want := health.Override{Site: "lgu", Kind: health.Drain, Who: "lee", Why: `<b>disk</b> & "fan"`, Since: fakeNow, Until: fakeNow.Add(time.Hour)}
	if got := f.overrides["lgu"]; got != want {
		t.Errorf("written %+v\nwant    %+v", got, want)
	}
	f.overrides["tokyo"] = health.Override{}
	f.mu.Unlock()

	b.eval(`document.querySelector('[aria-label="Undrain tokyo"]').click()`)
	wantText(t, b, "#order", "Take back the order for tokyo", "Drained by kim", "health decides again")
	if got := b.eval(`document.querySelector("#order").innerText.includes("Force down")`); got != "false" {
		t.Error("what is of use only for an order is shown when one is taken back")
	}
	b.eval(`document.querySelector("#order-go").click()`)
	b.wait(`!document.querySelector("#order").open`)
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, there := f.overrides["tokyo"]; there {
		t.Error("tokyo's override wasn't taken back")
	}
}

func testPageToken(t *testing.T, b *browser) {
	f := &fake{status: demoStatus()}
	srv := start(t, Config{Token: token}, f)
	b.open(srv.URL)
	b.eval(`document.querySelector('[aria-label="Drain kt"]').click(); document.querySelector("#order-why").value = "a reason"; document.querySelector("#order-go").click()`)
	b.wait(`document.activeElement.id === "order-token"`)
	wantText(t, b, "#order-error", "token missing or wrong")
	b.write(token)
	b.enter()
	b.wait(`!document.querySelector("#order").open`)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.overrides["kt"].Kind != health.Drain {
		t.Errorf("written: %+v", f.overrides)
	}
}

// hostile would run a script, or break out of an attribute, if it were taken as markup.
const hostile = `<img src=x onerror="document.title='OWNED'">"'><script>document.title='OWNED'</script>`

func testPageEscapes(t *testing.T, b *browser) {
	f := busy()
	f.live = false
	st := &f.status
	st.Node.Name, st.Problems, st.Etcd.Error, st.Geo[1].Error = hostile, []string{hostile}, hostile, hostile
	x := &st.Sites[0]
	x.Site, x.Why, x.CNAME = hostile, hostile, hostile
	x.Votes[0].Detail, x.Votes[0].Vantage = hostile, hostile
	x.Override = &health.Override{Kind: health.ForceDown, Who: hostile, Why: hostile}
	st.Zones[0].Name, st.Steered[0].Name, st.Nodes[0].Name = hostile, hostile, hostile
	st.Zones[0].DNSSEC.Keys[0].State, st.Zones[0].DNSSEC.Parent, st.Zones[0].DNSSEC.DS[0] = hostile, hostile, hostile
	st.Frontends[0].Name, st.Frontends[0].Servers[2].Detail, st.Frontends[0].PlaneWhy = hostile, hostile, hostile
	st.HeldChanges[0].Why, st.HeldSites.Why, st.Sites[2].Drain.Text, st.Sites[2].Drain.Clients.Groups[0].Operator = hostile, hostile, hostile, hostile
	st.Sites[3].Elsewhere[hostile], st.Audiences[0].Who, st.Nodes[0].Place, st.Nodes[3].Console = hostile, hostile, hostile, "javascript:document.title='OWNED'"
	st.Topology.Head.Stable.Why, st.Releases[0].Generation, st.Sites[0].Generations[0], f.revisions[1].Who = hostile, hostile, hostile, hostile
	st.BGP.Neighbors[1].Error = hostile
	f.events[1].Text, f.events[2].Text = hostile, hostile
	srv := start(t, Config{}, f)
	b.open(srv.URL + "/#name=" + url.QueryEscape(hostile) + "&client=" + url.QueryEscape(hostile))
	b.wait(`document.querySelector("#try-result .error")`)
	if got := b.eval(`document.querySelectorAll("img").length + " " + document.querySelectorAll("script").length + " " + document.title.includes("OWNED")`); got != "1 1 true" {
		// The title holds the node's name, and so the whole hostile text; were it run, it would be that word alone.
		t.Errorf("images, scripts and title: %s, want 1 1 true", got)
	}
	if got := b.eval(`document.title`); got == "OWNED" {
		t.Error("the hostile script ran")
	}
	for view, sels := range map[string][]string{
		"overview": {"#node", "#problems", "#site-rows", "#map-cards", "#held", "#drains"}, "servers": {"#frontends", "#announced", "#incidents"}, "health": {"#verdicts", "#audiences", "#vantages"},
		"rollout": {"#topology", "#revisions", "#releases", "#generations"}, "time-line": {"#events"}, "zones": {"#zones", "#steered", "#nodes", "#geo"},
	} {
		b.view(view)
		for _, sel := range sels {
			b.wait(`document.querySelector("` + sel + `").textContent.includes("OWNED")`) // what it asks for has come
			wantText(t, b, sel, `<img src=x onerror="document.title='OWNED'">`)
		}
	}
}

// testPageStands changes what can change and watches that nothing moves.
func testPageStands(t *testing.T, b *browser) {
	f := &fake{status: demoStatus(), live: true}
	srv := start(t, Config{}, f)
	b.open(srv.URL + decision)
	b.wait(`document.querySelector(".steps") && document.querySelector("#fact-rate").textContent.endsWith("/s")`)
	// The list of changes moves by its nature: the newest stands first. What is reported with the same place before
	// and after has not moved for who looks.
	b.eval(`window.moved = []; new PerformanceObserver(l => l.getEntries().forEach(e => {
		moved.push(...e.sources.filter(s => s.node && !s.node.parentElement?.closest(".changes") && (s.previousRect.x !== s.currentRect.x || s.previousRect.y !== s.currentRect.y)).map(s => [s.node.className, s.previousRect.y, s.currentRect.y, s.previousRect.height, s.currentRect.height, s.previousRect.x, s.currentRect.x].join(" ")));
	})).observe({type: "layout-shift"})`)
	f.mu.Lock()
	f.status.Problems = nil
	for i := range f.status.Sites {
		x := &f.status.Sites[i]
		x.State, x.Draining, x.Why, x.Shed = health.Down, false, strings.Repeat("all vantage points say down ", 5), 0.5
		if i%2 == 1 {
			x.Override = &health.Override{Kind: health.ForceDown, Who: "lee", Why: strings.Repeat("maintenance ", 9)}
		}
	}
	f.mu.Unlock()
	b.wait(`document.querySelector("#verdict").textContent === "Every site is down"`)
	wantText(t, b, "#changes", "lgu: up → forced down")
	b.eval(`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))`) // until it is laid out
	if got := b.eval(`moved.join()`); got != "" {
		t.Errorf("layout shift of %s", got)
	}
}

func testPageFits(t *testing.T, b *browser) {
	srv := start(t, Config{}, busy())
	for _, width := range []int{320, 768, 901} {
		b.size(width, 800)
		b.open(srv.URL + decision)
		b.wait(`document.querySelector(".steps")`)
		for _, view := range []string{"overview", "servers", "health", "what-if", "rollout", "time-line", "zones"} {
			if view != "overview" {
				b.view(view)
			}
			if asks := map[string]string{"what-if": "#each table", "rollout": "#revisions table", "time-line": "#events li"}[view]; asks != "" {
				b.wait(`document.querySelector("` + asks + `")`)
			}
			if got := b.eval(`document.documentElement.scrollWidth <= innerWidth`); got != "true" {
				t.Errorf("%d pixels wide: %s is %s", width, view, b.eval(`document.documentElement.scrollWidth`))
			}
		}
	}
}

func testPageLost(t *testing.T, b *browser) {
	srv := start(t, Config{}, &fake{status: demoStatus()})
	b.open(srv.URL)
	srv.CloseClientConnections()
	srv.Close()
	b.wait(`document.querySelector("#verdict").textContent === "No contact with the node"`)
	wantText(t, b, "#sites", "kt") // the last known stays
}

func testPageFinds(t *testing.T, b *browser) {
	srv := start(t, Config{}, &fake{status: demoStatus(), live: true})
	b.open(srv.URL)
	if got := b.eval(`document.querySelector("#site-find").checkVisibility()`); got != "false" {
		t.Error("five sites have a field to find them by")
	}
	st := demoStatus()
	for i := range 200 {
		s := st.Sites[1]
		s.Site, s.Addresses = fmt.Sprintf("edge%03d", i), []string{fmt.Sprintf("10.1.2.%d", i)}
		st.Sites = append(st.Sites, s)
	}
	srv = start(t, Config{}, &fake{status: st, live: true})
	b.open(srv.URL)
	rows := `[...document.querySelectorAll("#site-rows tr")].map(r => r.querySelector("b").innerText).join()`
	for _, test := range []struct{ words, want, count string }{
		{"Edge19", "edge190,edge191,edge192,edge193,edge194,edge195,edge196,edge197,edge198,edge199", "10 of 205"},
		{"10.1.2.77", "edge077", "1 of 205"},
		{"down connection", "kt", "1 of 205"},
		{"verizon", "virginia", "1 of 205"},
		{" kim  draining ", "tokyo", "1 of 205"},
		{"nowhere", "", "none of 205"},
	} {
		b.eval(`document.querySelector("#site-find").focus(); document.querySelector("#site-find").value = ""`)
		b.write(test.words)
		b.wait(`document.querySelector("#site-count").innerText === "` + test.count + `"`)
		if got := b.eval(rows); got != test.want {
			t.Errorf("%q finds %s, want %s", test.words, got, test.want)
		}
	}
	b.eval(`document.querySelector("#site-find").value = ""; document.querySelector("#site-find").dispatchEvent(new Event("input"))`)
	if n := b.eval(`document.querySelectorAll("#site-rows tr").length`); n != "205" {
		t.Errorf("%s sites with nothing to find, want 205", n)
	}
}

func testPageEmpty(t *testing.T, b *browser) {
	srv := start(t, Config{}, &fake{})
	b.open(srv.URL)
	wantText(t, b, "body", "No sites configured", "Nothing needs you.")
	if got := b.eval(`document.querySelector("#announced-panel").hidden`); got != "true" {
		t.Error("it tells of routers, of which there are none")
	}
	for view, want := range map[string]string{"servers": "No balancer reports any server", "health": "No sites are configured", "rollout": "This node serves the topology of its own file", "zones": "This node serves none"} {
		b.view(view)
		wantText(t, b, "main", want)
	}
	b.eval(`document.querySelector('#views a[href="#servers"]').focus()`)
	b.enter()
	b.wait(`document.querySelector("#clients-form").checkVisibility()`)
	b.eval(`document.querySelector("#clients-form button").click()`)
	b.wait(`document.querySelector("#clients").innerText.includes("This node has no balancer")`)
}

func testPageReason(t *testing.T, b *browser) {
	st := demoStatus()
	reason := strings.Repeat("before the kernel is upgraded, ", 12) + "END"
	st.Sites[2].Why = "draining by kim (" + reason + ")"
	st.Sites[2].Override.Why = reason
	srv := start(t, Config{}, &fake{status: st})
	for _, width := range []int{1440, 390} {
		b.size(width, 900)
		b.open(srv.URL)
		if n := b.eval(`document.querySelector("#sites").innerText.split("END").length - 1`); n != "1" {
			t.Errorf("%d wide: the reason is shown %s times, want once", width, n)
		}
		if cut := b.eval(`(e => e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight)(document.querySelector(".order").parentElement)`); cut != "false" {
			t.Errorf("%d wide: the reason is cut off", width)
		}
	}
}

func testPageStale(t *testing.T, b *browser) {
	st := demoStatus()
	st.Stale, st.Etcd.Connected = true, false
	srv := start(t, Config{}, &fake{status: st})
	b.open(srv.URL)
	wantText(t, b, "#problems", "what other nodes said is the last known")
	b.view("zones")
	wantText(t, b, "#nodes", "ns1.seoul (this one) dns, checker, balancer 3d4h", "ns1.virginia dns, checker last known")
	b.view("servers")
	wantText(t, b, "#frontends", "kt / www last known", "lgu / www proxy 9600 connections") // its own ones are as they are
}

func testPageAttention(t *testing.T, b *browser) {
	st := demoStatus()
	st.Problems = nil
	st.Counters = Counters{Choices: map[string]map[string]uint64{"www.abc.com.": {"kt": 0}}} // nothing was asked yet
	srv := start(t, Config{}, &fake{status: st})
	b.open(srv.URL)
	wantText(t, b, ".attention", "Attention 4", "site kt is down: 2 of 3", "site lgu sheds 25%", "site virginia is degraded", "GeoLite2-ASN.mmdb: search tree ends early",
		"GeoLite2-ASN.mmdb: new file refused", "tokyo: draining")
	b.view("zones")
	wantText(t, b, "#steered", "www.abc.com. cname 30s 6 –")
}

// TestScreenshots writes pictures of the page for people to look at, to the
// directory that GSLB_SCREENSHOTS names, or one of the console at GSLB_SCREENSHOT_OF. It is not run otherwise.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("GSLB_SCREENSHOTS")
	if dir == "" {
		t.Skip("GSLB_SCREENSHOTS names no directory to write pictures to")
	}
	b := openBrowser(t)
	if url := os.Getenv("GSLB_SCREENSHOT_OF"); url != "" { // such as the console of gslb demo, for docs/console.png
		b.size(1240, 1180)
		b.open(url)
		b.wait(`document.querySelector("#fact-rate").textContent.endsWith("/s")`)
		if err := os.WriteFile(filepath.Join(dir, "console.png"), b.screenshot(), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	srv := start(t, Config{}, busy())
	ready := map[string]string{
		"overview": `document.querySelector(".steps") && document.querySelector("#fact-rate").textContent.endsWith("/s")`, "servers": `document.querySelector("#incidents time")`, "health": `document.querySelector("#verdicts details")`,
		"what-if": `document.querySelector("#each table")`, "rollout": `document.querySelector("#revisions table")`, "time-line": `document.querySelector("#events time")`, "zones": `document.querySelector("#nodes table")`,
	}
	for _, scheme := range []string{"light", "dark"} {
		b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
		for _, width := range []int{1440, 390} {
			for view, js := range ready {
				b.size(width, 900)
				if view == "overview" {
					b.open(srv.URL + decision)
				} else {
					b.open(srv.URL + "/#" + view)
				}
				b.wait(js)
				if view == "what-if" {
					b.eval(`document.querySelector('[aria-label="What if lgu goes down"]').click()`)
					b.wait(`document.querySelector("#if-result table")`)
				}
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%s-%d.png", view, scheme, width)), b.screenshot(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
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
	s := New(Config{}, busy(), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	t.Logf("serving http://%v/", ln.Addr())
	if err := s.Serve(t.Context(), ln); err != nil {
		t.Fatal(err)
	}
}
