package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"gslb/health"
	"gslb/history"
)

// demoUser is someone who asks; home is the site that serves them when all is well.
type demoUser struct{ label, network, address, home string }

var demoUsers = []demoUser{
	{"a customer of KT, Korea", "203.0.113.0/24", "203.0.113.7", "kt"},
	{"a customer of LG U+, Korea", "198.51.100.0/24", "198.51.100.7", "lgu"},
	{"a user in China", "192.0.2.0/24", "192.0.2.7", "cn"},
	{"a user in the US", "198.18.128.0/24", "198.18.128.7", "us"},
}

// answer is what a user was told.
type answer struct {
	cname, address, site string
	took                 time.Duration
}

// ask resolves a name as a user of the network, and checks the answer.
func (f *family) ask(ctx context.Context, name, network string) (answer, error) {
	prefix, err := netip.ParsePrefix(network)
	if err != nil {
		return answer{}, err
	}
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{
		Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(prefix.Bits()), Address: prefix.Addr().AsSlice(),
	})
	r, took, err := (&dns.Client{Timeout: time.Second}).ExchangeContext(ctx, m, f.resolver())
	if err != nil {
		return answer{}, err
	}
	a := answer{took: took}
	for _, rr := range r.Answer {
		switch rr := rr.(type) {
		case *dns.CNAME:
			a.cname = rr.Target
		case *dns.A:
			a.address = rr.A.String()
		}
	}
	for _, s := range demoSites {
		if a.address == s.net+".1" {
			a.site = s.name
		}
	}
	if a.site == "" {
		return a, fmt.Errorf("the answer holds no site's address: %v", r)
	}
	return a, nil
}

// visit fetches the page at a site over a connection of its own, as a user's
// browser would, and gives its text.
func (f *family) visit(ctx context.Context, address string) (string, error) {
	t := &http.Transport{DisableKeepAlives: true}
	defer t.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d/", address, f.ports.sites), nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: t, Timeout: 2 * time.Second}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return strings.TrimSpace(string(body)), err
}

// tell plays the story. Each chapter checks what it claims.
func tell(ctx context.Context, p *printer, f *family) error {
	for i, chapter := range []struct {
		title string
		play  func(context.Context, *printer, *family) error
	}{
		{"Everyone is sent to the nearest site", chapterSteering},
		{"A server dies", chapterServer},
		{"A whole site dies", chapterSite},
		{"The site recovers", chapterRecovery},
		{"A site is drained for maintenance", chapterDrain},
	} {
		p.head("%d. %s", i+1, chapter.title)
		if err := chapter.play(ctx, p, f); err != nil {
			if ctx.Err() != nil {
				return nil // interrupted
			}
			p.bad("%v", err)
			return fmt.Errorf("gslb demo: chapter %d failed: %w\n%s", i+1, err, f.logs())
		}
	}
	p.head("That was all: everything is stopped and removed again.")
	return nil
}

func chapterSteering(ctx context.Context, p *printer, f *family) error {
	for _, u := range demoUsers {
		a, err := f.ask(ctx, "www.abc.com.", u.network)
		if err != nil {
			return err
		}
		page, err := f.visit(ctx, a.address)
		if err != nil {
			return err
		}
		p.say("  %-27s www.abc.com → %s → %s → %q", u.label, p.paint("36", a.cname), a.address, page)
		if a.site != u.home {
			return fmt.Errorf("%s was sent to %s, not to %s", u.label, a.site, u.home)
		}
	}
	p.good("each to their own, by operator and by country")
	return nil
}

// traffic is users who keep coming: each resolves the name and fetches the page.
type traffic struct {
	mu      sync.Mutex
	visits  int
	failed  []string
	servers map[string]int
	stop    context.CancelFunc
	done    chan struct{}
}

func (f *family) traffic(ctx context.Context, network string) *traffic {
	t := &traffic{servers: make(map[string]int), done: make(chan struct{})}
	ctx, t.stop = context.WithCancel(ctx)
	go func() {
		defer close(t.done)
		var wg sync.WaitGroup
		defer wg.Wait()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				wg.Go(func() { t.one(context.WithoutCancel(ctx), f, network) })
			}
		}
	}()
	return t
}

func (t *traffic) one(ctx context.Context, f *family, network string) {
	a, err := f.ask(ctx, "www.abc.com.", network)
	page := ""
	if err == nil {
		page, err = f.visit(ctx, a.address)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.visits++
	if err != nil {
		t.failed = append(t.failed, err.Error())
		return
	}
	t.servers[strings.TrimSuffix(strings.TrimPrefix(page, "server "), " at your service")]++
}

// end stops the users and waits for those under way.
func (t *traffic) end() {
	t.stop()
	<-t.done
}

func (t *traffic) served(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.servers[name]
}

func chapterServer(ctx context.Context, p *printer, f *family) error {
	site := demoSites[0]
	victim, spare := site.servers()[0], site.servers()[2]
	users := f.traffic(ctx, demoUsers[0].network)
	defer users.end()
	if err := until(ctx, 5*time.Second, "both servers have had users", func() bool {
		return users.served(victim) > 20 && users.served(site.servers()[1]) > 20
	}); err != nil {
		return err
	}
	p.say("  100 users a second come to %s; now: kill -9 %d, which is server %s", site.label, f.pid(victim), victim)
	begin := time.Now()
	f.kill(victim)
	if err := until(ctx, 15*time.Second, "the spare serves", func() bool { return users.served(spare) > 0 }); err != nil {
		return err
	}
	p.good("the spare %s serves in its place after %s", spare, short(time.Since(begin)))
	if err := until(ctx, 15*time.Second, "the spare serves many", func() bool { return users.served(spare) > 20 }); err != nil {
		return err
	}
	users.end()
	// A request that the server had already taken when it was killed is lost with it.
	if lost := len(users.failed); lost > 2 {
		return fmt.Errorf("%d of %d visits failed: %s", lost, users.visits, users.failed[0])
	} else if lost > 0 {
		p.say("  %d of %d visits was under way inside the server when it died", lost, users.visits)
	} else {
		p.good("of %d visits none failed: nobody noticed", users.visits)
	}
	if err := f.start(victim); err != nil {
		return err
	}
	begin = time.Now()
	if err := until(ctx, 40*time.Second, "the server is back and the spare is out", func() bool {
		in := inService(f.node.fleet.States().Site(site.name))
		return in[site.net+".11"] && !in[site.net+".13"]
	}); err != nil {
		return err
	}
	p.good("started again, it is back in service, and the spare is out again, %s later", short(time.Since(begin)))
	return nil
}

// inService tells which hosts of a site take connections, as it reports itself.
func inService(st health.Status) map[string]bool {
	in := make(map[string]bool)
	for _, r := range st.Reports {
		for _, s := range r.Servers {
			host, _, _ := net.SplitHostPort(s.Address)
			in[host] = s.InService
		}
	}
	return in
}

func chapterSite(ctx context.Context, p *printer, f *family) error {
	site, user := demoSites[0], demoUsers[0]
	p.say("  kill -9 of all %d processes of %s", len(site.members()), site.label)
	begin := time.Now()
	for _, name := range site.members() {
		f.kill(name)
	}
	a, err := f.leaves(ctx, user, site.name)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	page, err := f.visit(ctx, a.address)
	if err != nil {
		return err
	}
	p.say("  %-27s www.abc.com → %s → %s → %q", user.label, p.paint("36", a.cname), a.address, page)
	p.good("%s after the failure DNS sends its users to the next nearest site", short(took))
	if limit := demoFailover; took > limit {
		return fmt.Errorf("that took %s, more than fall × interval + timeout + 1s = %s", short(took), limit)
	}
	return nil
}

// demoFailover is fall × interval + timeout + 1s of the demonstration's checks.
const demoFailover = 2*time.Second + time.Second + time.Second

// leaves asks until a user is sent to another site.
func (f *family) leaves(ctx context.Context, user demoUser, site string) (a answer, err error) {
	err = until(ctx, 15*time.Second, "the site's users go elsewhere", func() bool {
		got, e := f.ask(ctx, "www.abc.com.", user.network)
		a = got
		return e == nil && got.site != site
	})
	return a, err
}

// returns asks until a user is sent to the site.
func (f *family) returns(ctx context.Context, user demoUser, site string) error {
	return until(ctx, 30*time.Second, "the site's users come back", func() bool {
		a, err := f.ask(ctx, "www.abc.com.", user.network)
		return err == nil && a.site == site
	})
}

func chapterRecovery(ctx context.Context, p *printer, f *family) error {
	site := demoSites[0]
	p.say("  all processes of %s are started again", site.label)
	begin := time.Now()
	for _, name := range site.members() {
		if err := f.start(name); err != nil {
			return err
		}
	}
	if err := f.returns(ctx, demoUsers[0], site.name); err != nil {
		return err
	}
	p.good("after %s its users are sent home again", short(time.Since(begin)))
	return nil
}

func chapterDrain(ctx context.Context, p *printer, f *family) error {
	site, user := demoSites[1], demoUsers[1]
	p.command("%s drain %s --why \"new switch\"%s", "", gslbCommand(), site.name, f.apiFlag())
	begin := time.Now()
	o := health.Override{Site: site.name, Kind: health.Drain, Who: operator(), Why: "new switch", Since: begin}
	if err := f.node.SetOverride(ctx, o); err != nil {
		return err
	}
	a, err := f.leaves(ctx, user, site.name)
	if err != nil {
		return err
	}
	p.say("  %-27s www.abc.com → %s → %s", user.label, p.paint("36", a.cname), a.address)
	if _, err := f.visit(ctx, site.net+".1"); err != nil {
		return fmt.Errorf("a drained site must go on serving those it has: %w", err)
	}
	p.good("new users go elsewhere after %s; the site itself goes on serving those it has", short(time.Since(begin)))
	p.command("%s undrain %s%s", "", gslbCommand(), site.name, f.apiFlag())
	if _, err := f.node.ClearOverride(ctx, site.name, history.Order{Who: "the demo", Why: "the rack is in"}); err != nil {
		return err
	}
	if err := f.returns(ctx, user, site.name); err != nil {
		return err
	}
	p.good("and back")
	return nil
}

// until polls until ok, and says what did not happen when it takes too long.
func until(ctx context.Context, limit time.Duration, what string, ok func() bool) error {
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			return fmt.Errorf("it did not happen within %v that %s", limit, what)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
