package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"gslb/config"
	"gslb/dnssec"
)

//go:embed demo/*.toml demo/*.zone demo/geo/*.mmdb
var demoFiles embed.FS

// demoSites are the sites of the demonstration, each on loopback addresses of its own.
var demoSites = []demoSite{
	{name: "kt", label: "KT, Seoul", net: "127.0.11"},
	{name: "lgu", label: "LG U+, Busan", net: "127.0.12"},
	{name: "cn", label: "China, Shanghai", net: "127.0.13"},
	{name: "us", label: "US, San Jose", net: "127.0.14"},
}

type demoSite struct{ name, label, net string }

// address is where the site's users come in.
func (s demoSite) address(port int) string { return net.JoinHostPort(s.net+".1", strconv.Itoa(port)) }

// servers names the site's servers; the last one is the spare.
func (s demoSite) servers() []string {
	return []string{s.name + "-1", s.name + "-2", s.name + "-spare"}
}

// demoPorts are where the demonstration listens.
type demoPorts struct{ dns, api, sites int }

// family is the running demonstration: this process is the name server, and
// each balancer and each web server is a process of its own, so that killing
// one is the real thing.
type family struct {
	ports demoPorts
	dir   string // of configurations, data and logs; gone in the end
	exe   string
	node  *node
	api   string

	ctx    context.Context // of all processes
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	children map[string]*child // guarded by mu
}

// child is a process of the family.
type child struct {
	name string
	args []string
	cmd  *exec.Cmd
	hold io.Closer     // its standard input: closing it ends the process
	gone chan struct{} // closed when the process has ended
}

// startFamily starts everything and waits until every site is up.
func startFamily(ctx context.Context, ports demoPorts) (_ *family, err error) {
	f := &family{ports: ports, children: make(map[string]*child)}
	f.ctx, f.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	if f.exe, err = os.Executable(); err != nil {
		return nil, err
	}
	if err = f.checkPorts(); err != nil {
		return nil, err
	}
	if f.dir, err = os.MkdirTemp("", "gslb-demo-"); err != nil {
		return nil, err
	}
	if err = f.startNode(); err != nil {
		return nil, err
	}
	for _, s := range demoSites {
		if err = f.startSite(s); err != nil {
			return nil, err
		}
	}
	if err = f.applyTopology(20 * time.Second); err != nil {
		return nil, err
	}
	return f, f.waitUp(20 * time.Second)
}

// checkPorts finds out before anything is started whether all addresses can be had.
func (f *family) checkPorts() error {
	try := func(address, flag string) error {
		l, err := net.Listen("tcp4", address)
		if err == nil {
			return l.Close()
		}
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			return fmt.Errorf("gslb demo: this system has no address %s: the demonstration needs all of 127.0.0.0/8, as Linux has it", address)
		}
		return fmt.Errorf("gslb demo: %s is taken (%w): choose another port with -%s", address, err, flag)
	}
	errs := []error{
		try(net.JoinHostPort("127.0.0.1", strconv.Itoa(f.ports.dns)), "dns-port"),
		try(net.JoinHostPort("127.0.0.1", strconv.Itoa(f.ports.api)), "api-port"),
	}
	for _, s := range demoSites {
		errs = append(errs, try(net.JoinHostPort(s.net+".1", strconv.Itoa(f.ports.api)), "api-port"))
		for _, host := range []string{".1", ".11", ".12", ".13"} {
			errs = append(errs, try(net.JoinHostPort(s.net+host, strconv.Itoa(f.ports.sites)), "port"))
		}
	}
	return errors.Join(errs...)
}

// write puts an embedded file into the family's directory, with its words filled in.
func (f *family) write(from, to string, words ...string) (string, error) {
	data, err := demoFiles.ReadFile(from)
	if err != nil {
		return "", err
	}
	words = append(words, "@DNS@", strconv.Itoa(f.ports.dns), "@API@", strconv.Itoa(f.ports.api), "@PORT@", strconv.Itoa(f.ports.sites))
	if !strings.HasSuffix(from, ".mmdb") {
		data = []byte(strings.NewReplacer(words...).Replace(string(data)))
	}
	path := filepath.Join(f.dir, to)
	return path, os.WriteFile(path, data, 0o600)
}

// startNode runs the name server, with etcd, in this process.
func (f *family) startNode() error {
	geoFiles, err := fs.Glob(demoFiles, "demo/geo/*.mmdb")
	if err != nil {
		return err
	}
	for _, g := range append(geoFiles, "demo/abc.com.zone") {
		if _, err := f.write(g, filepath.Base(g)); err != nil {
			return err
		}
	}
	// What is served, and the same with a change, for the reader to try.
	for to, germany := range map[string]string{"topology.toml": "", "change.toml": "  [[steer.rule]]                    # new: not the nearest\n  country = [\"DE\"]\n  to      = [\"us\", \"nearest:all\"]\n"} {
		if _, err := f.write("demo/topology.toml", to, "@GERMANY@", germany); err != nil {
			return err
		}
	}
	path, err := f.write("demo/ns.toml", "ns.toml")
	if err != nil {
		return err
	}
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	logFile, err := os.Create(filepath.Join(f.dir, "ns1.log"))
	if err != nil {
		return err
	}
	n, err := newNode(f.ctx, path, cfg, slog.New(slog.NewTextHandler(logFile, nil)), nil)
	if err != nil {
		logFile.Close()
		return fmt.Errorf("gslb demo: %w", err)
	}
	f.node = n
	f.api = n.apiAddr
	f.wg.Go(func() {
		defer logFile.Close()
		_, _ = n.run(f.ctx, nil) // it ends with f.ctx, and reports its faults itself
	})
	return nil
}

// applyTopology has the fleet serve the topology, with the command that everybody has; as
// soon as etcd takes it.
func (f *family) applyTopology(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(f.ctx, limit)
	defer cancel()
	var said []byte // by the last one that came to its end
	err := until(ctx, limit, "etcd takes the topology", func() bool {
		out, err := exec.CommandContext(ctx, f.exe, "apply", filepath.Join(f.dir, "topology.toml"), "--why", "the demo begins", "--api", f.api).CombinedOutput()
		if ctx.Err() == nil {
			said = out
		}
		return err == nil
	})
	if err != nil && f.ctx.Err() == nil {
		err = fmt.Errorf("gslb demo: the topology is not applied: %w: %s\n%s", err, said, f.logs())
	}
	return err
}

// anchor writes the zone's trust anchor for delv and gives the file's path.
func (f *family) anchor() (string, error) {
	keys, err := f.node.signer.keeper.Store().Load([]byte("\x03abc\x03com\x00"))
	if err != nil || len(keys) == 0 {
		return "", errors.Join(err, errors.New("the zone has no key"))
	}
	d := strings.Fields(dsText(keys[0].DS(dnssec.SHA256)))
	path := filepath.Join(f.dir, "anchor")
	return path, os.WriteFile(path, fmt.Appendf(nil, "trust-anchors { abc.com. static-ds %s %s %s \"%s\"; };\n", d[0], d[1], d[2], d[3]), 0o600)
}

// startSite starts a site's servers and its balancer.
func (f *family) startSite(s demoSite) error {
	for i, name := range s.servers() {
		listen := net.JoinHostPort(fmt.Sprintf("%s.%d", s.net, 11+i), strconv.Itoa(f.ports.sites))
		if err := f.start(name, "demo-server", "-listen", listen, "-name", name); err != nil {
			return err
		}
	}
	path, err := f.write("demo/site.toml", "lb-"+s.name+".toml", "@SITE@", s.name, "@NET@", s.net, "@ETCD@", f.node.store.Status().Endpoints[0])
	if err != nil {
		return err
	}
	return f.start("lb-"+s.name, "serve", "-with-stdin", "-config", path)
}

// start starts a process of the family, or one that has ended again.
func (f *family) start(name string, args ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return f.ctx.Err()
	}
	if old := f.children[name]; old != nil {
		select {
		case <-old.gone:
		default:
			return nil // it runs
		}
		args = old.args
	}
	out, err := os.OpenFile(filepath.Join(f.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	c := &child{name: name, args: args, cmd: exec.Command(f.exe, args...), gone: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process alone
	if c.hold, err = c.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("gslb demo: cannot start %s: %w", name, err)
	}
	f.children[name] = c
	f.wg.Go(func() {
		_ = c.cmd.Wait() // how it ended is in its log
		close(c.gone)
	})
	return nil
}

// pid is a child's process id, 0 when it does not run.
func (f *family) pid(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.children[name]
	if c == nil {
		return 0
	}
	select {
	case <-c.gone:
		return 0
	default:
		return c.cmd.Process.Pid
	}
}

// kill kills a child as kill -9 does.
func (f *family) kill(name string) {
	f.mu.Lock()
	c := f.children[name]
	f.mu.Unlock()
	if c != nil {
		_ = c.cmd.Process.Kill() // it may have ended already
		<-c.gone
	}
}

// members are the names of all processes of a site.
func (s demoSite) members() []string { return append(s.servers(), "lb-"+s.name) }

// waitUp waits until every site is up and serves.
func (f *family) waitUp(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		missing := f.notUp()
		if len(missing) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("gslb demo: after %v these sites are not up: %s\n%s", limit, strings.Join(missing, ", "), f.logs())
		}
		select {
		case <-f.ctx.Done():
			return f.ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (f *family) notUp() []string {
	var missing []string
	states := f.node.fleet.States()
	for _, s := range demoSites {
		st := states.Site(s.name)
		if len(st.Votes) == 0 || len(st.Reports) == 0 || !st.InService() || st.Reports[0].Healthy < 2 {
			missing = append(missing, s.name)
		}
	}
	if f.node.Ready() != nil {
		missing = append(missing, "ns1")
	}
	return missing
}

// logs gives the ends of all logs, for when something went wrong.
func (f *family) logs() string {
	var b strings.Builder
	files, _ := filepath.Glob(filepath.Join(f.dir, "*.log"))
	for _, file := range files {
		data, _ := os.ReadFile(file)
		if len(data) > 2000 {
			data = data[len(data)-2000:]
		}
		fmt.Fprintf(&b, "--- %s\n%s", filepath.Base(file), data)
	}
	return b.String()
}

// stop ends every process and removes every file.
func (f *family) stop() {
	f.cancel()
	f.mu.Lock()
	for _, c := range f.children {
		c.hold.Close()
	}
	all := f.children
	f.mu.Unlock()
	bounded, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, c := range all {
		select {
		case <-c.gone:
		case <-bounded.Done():
			_ = c.cmd.Process.Kill()
			<-c.gone
		}
	}
	f.wg.Wait()
	if f.node != nil {
		f.node.close()
	}
	if f.dir != "" {
		_ = os.RemoveAll(f.dir)
	}
}

// resolver is where the demonstration's DNS is asked.
func (f *family) resolver() string {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(f.ports.dns)).String()
}
