package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"gslb/health"
)

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "run a whole fleet on this machine's loopback and show what it does",
		Description: "Starts a name server with an embedded etcd, four sites with a balancer, two web servers and a\n" +
			"spare each, and a steered zone, abc.com. Everything listens on 127.0.0.0/8 only, and all of it\n" +
			"ends with Ctrl-C. With -script it tells its story by itself and ends.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "script", Usage: "play the whole story: failures, failover, recovery, drain"},
			&cli.IntFlag{Name: "dns-port", Usage: "`PORT` of the name server on 127.0.0.1", Value: 10053},
			&cli.IntFlag{Name: "api-port", Usage: "`PORT` of the consoles, on 127.0.0.1 and of the sites on addresses from 127.0.11.1 on", Value: 8053},
			&cli.IntFlag{Name: "port", Usage: "`PORT` of the sites, on addresses from 127.0.11.1 on", Value: 8080},
			&spanFlag{Name: "revive", Usage: "start a process that was killed again after this `TIME`; 0: never", Value: 20 * time.Second},
			&cli.StringFlag{Name: "color", Usage: "always, never or auto", Value: "auto"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb demo: %q is not expected", c.Args().First())
			}
			ports := demoPorts{dns: c.Int("dns-port"), api: c.Int("api-port"), sites: c.Int("port")}
			for flag, p := range map[string]int{"dns-port": ports.dns, "api-port": ports.api, "port": ports.sites} {
				if p < 1 || p > 65535 {
					return usagef("gslb demo: -%s %d: want a port from 1 to 65535", flag, p)
				}
			}
			p, err := newPrinter(c.Root().Writer, c.String("color"))
			if err != nil {
				return err
			}
			ctx, p.gone = context.WithCancel(ctx)
			defer p.gone()
			signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // it would end the demo without ending its processes
			return demo(ctx, p, ports, c.Bool("script"), c.Duration("revive"))
		},
	}
}

func demo(ctx context.Context, p *printer, ports demoPorts, script bool, revive time.Duration) error {
	p.say("Starting a name server with etcd, and %d sites with a balancer, two servers and a spare each …", len(demoSites))
	begin := time.Now()
	f, err := startFamily(ctx, ports)
	if err != nil {
		if ctx.Err() != nil {
			return nil // interrupted while starting
		}
		return err
	}
	defer f.stop()
	p.good("%d processes are up after %s.", 1+len(demoSites)*4, short(time.Since(begin)))
	if script {
		return tell(ctx, p, f)
	}
	f.guide(p)
	f.follow(ctx, p, revive)
	p.say("\nEnding all processes.")
	return nil
}

// guide prints what can be tried.
func (f *family) guide(p *printer) {
	dns := f.ports.dns
	p.head("Ask as users of different operators and countries (EDNS Client Subnet says who asks)")
	for _, u := range demoUsers {
		p.command("dig @127.0.0.1 -p %d www.abc.com +subnet=%s", fmt.Sprintf("# %s", u.label), dns, u.network)
	}
	p.command("dig @127.0.0.1 -p %d app.abc.com A +subnet=%s", "# the same as addresses, not as a CNAME", dns, demoUsers[0].network)
	p.command("nslookup -port=%d www.abc.com 127.0.0.1", "# this machine counts as a customer of KT", dns)
	if anchor, err := f.anchor(); err == nil {
		p.head("Check the signatures of what a user is told (DNSSEC), with the zone's own key as the trust anchor")
		p.command("delv @127.0.0.1 -p %d -a %s +root=abc.com www.abc.com", "", dns, anchor)
	}
	p.head("See why")
	p.command("%s explain www.abc.com --client %s%s", "", gslbCommand(), demoUsers[1].address, f.apiFlag())
	p.command("%s status%s", "", gslbCommand(), f.apiFlag())
	p.say("  http://%s/           and what if, servers, verdicts, the time line: http://%s/#what-if", f.api, f.api)
	p.head("Try before you do: users in Germany go to the site us, by plan, by canary; and what if kt fails")
	change := filepath.Join(f.dir, "change.toml")
	p.command("%s plan %s%s", "", gslbCommand(), change, f.apiFlag())
	p.command("%s apply %s --canary share=25%% --why \"try it\"%s", "", gslbCommand(), change, f.apiFlag())
	p.command("%s promote --why \"it is good\"%s", "# for all; or rollback", gslbCommand(), f.apiFlag())
	p.command("%s simulate --down kt --live --config %s%s", "", gslbCommand(), filepath.Join(f.dir, "ns.toml"), f.apiFlag())
	p.head("Break something, and look again")
	kt := demoSites[0]
	p.command("curl http://%s/", "# a user of site kt, through its balancer; a few times", kt.address(f.ports.sites))
	p.command("kill -9 %d", "# a server of site kt: its spare comes in, no user notices", f.pid(kt.servers()[0]))
	p.command("kill -9 %d", "# the balancer of site kt: its users go to the next site", f.pid("lb-"+kt.name))
	p.command("%s drain lgu --why \"new switch\"%s", "# and then:", gslbCommand(), f.apiFlag())
	p.command("%s undrain lgu%s", "", gslbCommand(), f.apiFlag())
	p.say("\nWhat happens is shown below. Ctrl-C ends everything.\n")
}

func (f *family) apiFlag() string {
	if f.ports.api == 8053 {
		return ""
	}
	return " --api " + f.api
}

// gslbCommand is how the reader calls this program.
func gslbCommand() string {
	if exe, err := os.Executable(); err == nil && strings.Contains(exe, "go-build") {
		return "go run ./cmd/gslb"
	}
	return os.Args[0]
}

// follow tells what changes until ctx ends, and starts what was killed again.
func (f *family) follow(ctx context.Context, p *printer, revive time.Duration) {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	last := make(map[string]string)
	died := make(map[string]time.Time)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		states := f.node.fleet.States()
		for _, s := range demoSites {
			now := siteLine(states.Site(s.name))
			if was, ok := last[s.name]; ok && was != now {
				p.event(s.name, now)
			}
			last[s.name] = now
			f.revive(p, s, died, revive)
		}
	}
}

// revive starts the processes of a site that ended again, after a while.
func (f *family) revive(p *printer, s demoSite, died map[string]time.Time, after time.Duration) {
	for _, name := range s.members() {
		at, known := died[name]
		switch {
		case f.pid(name) != 0:
			delete(died, name)
		case !known:
			died[name] = time.Now()
			if after > 0 {
				p.event(name, fmt.Sprintf("has died; it is started again in %s", short(after)))
			} else {
				p.event(name, "has died")
			}
		case after > 0 && time.Since(at) > after:
			if err := f.start(name); err != nil {
				p.event(name, err.Error())
				died[name] = time.Now()
				continue
			}
			p.event(name, fmt.Sprintf("started again, process %d", f.pid(name)))
		}
	}
}

func siteLine(st health.Status) string {
	var parts []string
	parts = append(parts, st.State.String())
	if st.Draining {
		parts = append(parts, "draining")
	}
	for _, r := range st.Reports {
		in := 0
		spare := ""
		for _, s := range r.Servers {
			if s.InService {
				in++
				if s.Role == "spare" {
					spare = ", the spare among them"
				}
			}
		}
		parts = append(parts, fmt.Sprintf("%d servers in service%s", in, spare))
	}
	return strings.Join(parts, ", ") + " (" + st.Why + ")"
}

// printer narrates, in colour where that is of use.
type printer struct {
	w     io.Writer
	color bool
	gone  context.CancelFunc // called when nobody reads any more
}

// Write ends the demo when there is nobody to tell it to, as in "gslb demo | head".
func (p *printer) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if err != nil && p.gone != nil {
		p.gone()
	}
	return n, err
}

func newPrinter(w io.Writer, mode string) (*printer, error) {
	p := &printer{w: w}
	switch mode {
	case "always":
		p.color = true
	case "never":
	case "auto":
		f, ok := w.(*os.File)
		p.color = ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
	default:
		return nil, usagef("gslb demo: -color %q: want always, never or auto", mode)
	}
	return p, nil
}

func (p *printer) paint(code, s string) string {
	if !p.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p *printer) say(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *printer) head(format string, args ...any) {
	fmt.Fprintf(p, "\n%s\n", p.paint("1", fmt.Sprintf(format, args...)))
}

func (p *printer) good(format string, args ...any) {
	fmt.Fprintf(p, "%s %s\n", p.paint("32", "✓"), fmt.Sprintf(format, args...))
}

func (p *printer) bad(format string, args ...any) {
	fmt.Fprintf(p, "%s %s\n", p.paint("31", "✗"), fmt.Sprintf(format, args...))
}

func (p *printer) command(format, comment string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if comment != "" {
		line = fmt.Sprintf("%-68s %s", line, p.paint("2", comment))
	}
	fmt.Fprintf(p, "  %s\n", line)
}

func (p *printer) event(who, what string) {
	fmt.Fprintf(p, "%s  %s %s\n", p.paint("2", time.Now().Format("15:04:05.0")), p.paint("1", who), what)
}

func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
