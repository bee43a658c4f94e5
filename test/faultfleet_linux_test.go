package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"gslb/test/bed"
	"gslb/tools/l4bed"
)

// faultFleet is a fleet whose parts can be made to fail: a network namespace for
// each node, with a cable each to a bridge in the namespace where the sites are.
//
//	ns1 ns2 ns3   DNS, checker, and a member of etcd each    10.99.0.1 to .3
//	ns4           DNS alone; it reaches etcd through relays  10.99.0.4
//	hub           the bridge and the sites                   10.99.1.1 to .4
type faultFleet struct {
	t      *testing.T
	tp     *topology
	rng    *rand.Rand
	hub    []string // words that run a command there
	disk   *process // holds the mount namespace with small disks for ns3 and ns4
	webs   map[string]*process
	nodes  []*faultNode
	delay  atomic.Int64 // of the relays, in nanoseconds, each way
	relays sync.Map     // net.Conn -> true
	dog    *watchdog

	unjudged []string // faults that the machine did not let anybody judge

	// Of the present try:
	began    time.Time
	changes  int                 // of a node's answer that it may bring
	siteDied bool                // it killed one
	faults   []string            // what is wrong with gslb
	doubts   []string            // what is, or is the machine's doing
	slow     string              // how the machine is seen to be too slow, beside what is in the logs
	alone    map[*faultNode]bool // cut off from everybody by it
}

// faultNode is one of its nodes, with a client beside it that asks all the time.
type faultNode struct {
	*node
	fleet  *faultFleet
	number int
	words  []string    // of its namespace
	struck atomic.Bool // may be without answers for a while: the present fault kills it, or stops it
	said   int         // length of its log when the present fault began
	http   *http.Client
	asks   *stream // by a client of KT
}

const (
	faultMembers = 3
	faultAPI     = "127.0.0.1:8053"
	faultDNS     = "127.0.0.1:53"
	askEvery     = 20 * time.Millisecond
	flapHalf     = 8 * time.Second
)

// siteHost is where a site stands in the hub.
func siteHost(name string) string {
	for i, s := range sites {
		if s.name == name {
			return fmt.Sprintf("10.99.1.%d", i+1)
		}
	}
	panic("no site " + name)
}

func memberAddress(i int) string { return fmt.Sprintf("10.99.0.%d:2379", i) }

func newFaultFleet(t *testing.T, seed, half uint64) *faultFleet {
	t.Helper()
	needTool(t, "bridge", "nsenter", "unshare")
	f := &faultFleet{t: t, tp: newTopology(t), rng: rand.New(rand.NewPCG(seed, half)), webs: map[string]*process{}}
	f.tp.dns, f.tp.api, f.tp.port = faultDNS, faultAPI, 8080
	f.dog = startWatchdog(t)
	f.hub = namespace(t)
	hub := f.hub[3]
	must(t, "ip", "-n", hub, "link", "add", "br0", "type", "bridge")
	for i := range sites {
		must(t, "ip", "-n", hub, "addr", "add", fmt.Sprintf("10.99.1.%d/16", i+1), "dev", "br0")
	}
	must(t, "ip", "-n", hub, "link", "set", "br0", "up")
	for _, s := range sites {
		f.startSite(s.name)
	}
	for i := 1; i <= faultMembers+1; i++ {
		n := &faultNode{fleet: f, number: i, words: namespace(t)}
		cable := fmt.Sprintf("p%d", i)
		must(t, "ip", "link", "add", "eth0", "netns", n.words[3], "type", "veth", "peer", "name", cable, "netns", hub)
		must(t, "ip", "-n", n.words[3], "addr", "add", fmt.Sprintf("10.99.0.%d/16", i), "dev", "eth0")
		must(t, "ip", "-n", n.words[3], "link", "set", "eth0", "up")
		must(t, "ip", "-n", hub, "link", "set", cable, "master", "br0", "up")
		n.http = &http.Client{Timeout: answerWithin, Transport: &http.Transport{DisableKeepAlives: true, DialContext: f.dialer(n.words)}}
		f.nodes = append(f.nodes, n)
	}
	f.makeDisks() // after the namespaces, which it has to see
	f.startRelays()
	for _, n := range f.nodes {
		n.begin()
	}
	t.Cleanup(f.stop)
	for _, n := range f.nodes {
		n.ready()
		n.asks = startStream(t, askEvery, n.asker())
	}
	f.calm()
	return f
}

// stop ends all nodes: that they end well when they are asked to is for other
// tests, and the last members would wait here for those that went before.
func (f *faultFleet) stop() {
	for _, n := range f.nodes {
		n.Kill()
	}
}

// makeDisks mounts a small file system each for the data of ns3, which has to
// hold etcd's too, and of ns4.
func (f *faultFleet) makeDisks() {
	f.t.Helper()
	script := "set -e\n"
	for name, size := range map[string]string{"ns3": "256m", "ns4": "2m"} {
		dir := f.tp.path(name + "-data")
		if err := os.Mkdir(dir, 0o700); err != nil {
			f.t.Fatal(err)
		}
		script += fmt.Sprintf("mount -t tmpfs -o size=%s tmpfs '%s'\n", size, dir)
	}
	f.disk = start(f.t, "disks", nil, "unshare", "-m", "--propagation", "slave", "sh", "-c", script+"echo "+ready+"\nexec sleep 3600")
	f.disk.killed = true // it ends with a signal
	until(f.t, patience, func() error {
		switch {
		case strings.Contains(f.disk.log.String(), ready):
			return nil
		case f.disk.ended():
			bed.Missing(f.t, "a small disk cannot be mounted here: %s", f.disk.log)
		}
		return errors.New("not mounted yet")
	})
}

// disk is where the test finds what the node has as its disk.
func (n *faultNode) disk() string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", n.fleet.disk.cmd.Process.Pid), n.fleet.tp.path(n.name+"-data"))
}

// wipe takes everything from a node's disk.
func (n *faultNode) wipe() error {
	files, err := os.ReadDir(n.disk())
	if err == nil && len(files) == 0 {
		err = errors.New("its disk is empty")
	}
	for _, file := range files {
		err = errors.Join(err, os.RemoveAll(filepath.Join(n.disk(), file.Name())))
	}
	return err
}

// fill takes all that is left of a node's disk; what it gives makes room again.
func (n *faultNode) fill() (empty func()) {
	n.t.Helper()
	path := filepath.Join(n.disk(), "filler")
	file, err := os.Create(path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer file.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, size))
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			n.t.Error(err)
		}
	}
}

// dialer dials from within a namespace: a socket belongs to the one in which it was made.
func (f *faultFleet) dialer(words []string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = l4bed.Within(words[3], func() (err error) {
			var d net.Dialer
			conn, err = d.DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}

// startRelays gives ns4 a way to each member, which can be slow, or cut.
func (f *faultFleet) startRelays() {
	n := f.nodes[faultMembers]
	f.t.Cleanup(f.cutRelays) // after the listeners are closed
	for i := 1; i <= faultMembers; i++ {
		var l net.Listener
		if err := l4bed.Within(n.words[3], func() (err error) {
			l, err = net.Listen("tcp", relayAddress(i))
			return err
		}); err != nil {
			f.t.Fatal(err)
		}
		bed.Serve(f.t, l, func(in net.Conn) { f.relay(in, memberAddress(i), n.words) })
	}
}

func relayAddress(i int) string { return fmt.Sprintf("127.0.0.1:1237%d", i) }

func (f *faultFleet) relay(in net.Conn, to string, words []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	out, err := f.dialer(words)(ctx, "tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	for _, c := range []net.Conn{in, out} {
		f.relays.Store(c, true)
		defer f.relays.Delete(c)
	}
	go f.pass(in, out)
	f.pass(out, in)
}

// pass copies what comes, each piece as late as the relays are slow.
func (f *faultFleet) pass(from, to net.Conn) {
	type piece struct {
		due  time.Time
		data []byte
	}
	pieces := make(chan piece, 4096)
	go func() {
		defer to.Close()
		for p := range pieces {
			time.Sleep(time.Until(p.due))
			if _, err := to.Write(p.data); err != nil {
				from.Close()
			}
		}
	}()
	defer close(pieces)
	for {
		buf := make([]byte, 16<<10)
		count, err := from.Read(buf)
		if count > 0 {
			pieces <- piece{time.Now().Add(time.Duration(f.delay.Load())), buf[:count]}
		}
		if err != nil {
			return
		}
	}
}

// cutRelays ends all connections of ns4 to etcd.
func (f *faultFleet) cutRelays() {
	f.relays.Range(func(c, _ any) bool {
		c.(net.Conn).Close()
		return true
	})
}

// etcd is a client in the hub.
func (f *faultFleet) etcd() *clientv3.Client {
	f.t.Helper()
	dial := f.dialer(f.hub)
	var endpoints []string
	for i := 1; i <= faultMembers; i++ {
		endpoints = append(endpoints, memberAddress(i))
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop(), DialTimeout: 5 * time.Second, DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) })}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

// leader finds the node whose member leads.
func (f *faultFleet) leader() *faultNode {
	f.t.Helper()
	c := f.etcd()
	defer c.Close()
	var found *faultNode
	until(f.t, patience, func() error {
		for _, n := range f.nodes[:faultMembers] {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			s, err := c.Status(ctx, memberAddress(n.number))
			cancel()
			if err == nil && s.Leader != 0 && s.Leader == s.Header.MemberId {
				found = n
				return nil
			}
		}
		return errors.New("no member leads")
	})
	return found
}

// begin starts the node, which may have run before.
func (n *faultNode) begin() {
	name, f := fmt.Sprintf("ns%d", n.number), n.fleet
	roles, etcd := `["dns", "checker"]`, ""
	if n.number <= faultMembers {
		var cluster []string
		for i := 1; i <= faultMembers; i++ {
			cluster = append(cluster, fmt.Sprintf("ns%d=http://10.99.0.%d:2380", i, i))
		}
		etcd = fmt.Sprintf("embedded = true\nlisten = %q\nname = %q\ncluster = %q\n", memberAddress(n.number), name, strings.Join(cluster, ","))
	} else {
		roles = `["dns"]`
		var endpoints []string
		for i := 1; i <= faultMembers; i++ {
			endpoints = append(endpoints, "http://"+relayAddress(i))
		}
		text, _ := json.Marshal(endpoints)
		etcd = fmt.Sprintf("endpoints = %s\n", text)
	}
	text := nodeConfiguration(name, roles, etcd, faultAPI) + fmt.Sprintf("[dns]\nlisten = [%q]\n\n", faultDNS) + f.tp.configuration()
	for _, s := range sites {
		text = strings.Replace(text, fmt.Sprintf("check_address = [\"%s:%d\"]", s.address, f.tp.port), fmt.Sprintf("check_address = [\"%s:%d\"]", siteHost(s.name), f.tp.port), 1)
	}
	// The site that flaps is looked at more often, so that it can.
	head, cn, _ := strings.Cut(text, "name = \"cn\"\n")
	cn = strings.Replace(cn, "check = \"web\"\n", "check = \"brisk\"\n", 1)
	text = head + "name = \"cn\"\nflap_limit = 2\nflap_half = \"" + flapHalf.String() + "\"\n" + cn +
		"[check.brisk]\ntype = \"http\"\npath = \"/healthz\"\ninterval = \"500ms\"\ntimeout = \"500ms\"\nrise = 1\nfall = 2\n"
	f.tp.prefix = append([]string{"nsenter", "-m", "-t", fmt.Sprint(f.disk.cmd.Process.Pid)}, n.words...)
	n.node = f.tp.startNode(name, write(f.t, f.tp.dir, name+".toml", text), faultDNS, faultAPI)
}

func (n *faultNode) get(path string) (string, error) {
	r, err := n.http.Get("http://" + n.api + path)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", r.Status, body)
	}
	return string(body), err
}

func (n *faultNode) ready() {
	n.t.Helper()
	until(n.t, patience, func() error {
		if n.ended() {
			n.t.Fatalf("%s ended: %v", n.name, n.cmd.ProcessState)
		}
		_, err := n.get("/readyz")
		return err
	})
}

// faultStatus is what these tests read of /api/v1/status.
type faultStatus struct {
	status
	Sites []struct {
		Site, State, Why, Held string
		Votes                  []struct{ Vantage, State string }
	} `json:"sites"`
}

// sees waits until the node's status is good.
func (n *faultNode) sees(limit time.Duration, good func(faultStatus) error) {
	n.t.Helper()
	until(n.t, limit, func() error {
		body, err := n.get("/api/v1/status")
		var s faultStatus
		if err == nil {
			err = json.Unmarshal([]byte(body), &s)
		}
		if err == nil {
			err = good(s)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
		return nil
	})
}

// fresh: connected with etcd, all vantage points have voted all sites up.
func fresh(s faultStatus) error {
	if s.Stale || !s.Etcd.Connected {
		return fmt.Errorf("stale %v, connected %v", s.Stale, s.Etcd.Connected)
	}
	if len(s.Sites) != len(sites) {
		return fmt.Errorf("%d sites", len(s.Sites))
	}
	for _, site := range s.Sites {
		up := 0
		for _, v := range site.Votes {
			if v.State == "up" {
				up++
			}
		}
		if up != faultMembers || len(site.Votes) != up || site.State != "up" || site.Held != "" {
			return fmt.Errorf("%s is %s (%s) %s, votes %v", site.Site, site.State, site.Why, site.Held, site.Votes)
		}
	}
	return nil
}

// votes waits until the node knows this vote.
func (n *faultNode) votes(site, vantage, state string) {
	n.t.Helper()
	n.sees(patience, func(s faultStatus) error {
		for _, x := range s.Sites {
			for _, v := range x.Votes {
				if x.Site == site && v.Vantage == vantage && v.State == state {
					return nil
				}
			}
		}
		return fmt.Errorf("%s has not voted %s %s", vantage, site, state)
	})
}

func unconnected(s faultStatus) error {
	if s.Etcd.Connected {
		return errors.New("still connected with etcd")
	}
	return nil
}

// calm waits until everything is well everywhere.
func (f *faultFleet) calm() {
	f.t.Helper()
	for _, n := range f.nodes {
		n.sees(patience, fresh)
		n.answers(patience, clientKT, "kt")
		n.asked()
	}
}

// asked waits until the node has answered its client once more.
func (n *faultNode) asked() {
	n.t.Helper()
	since := time.Now()
	until(n.t, patience, func() error {
		for _, e := range slices.Backward(n.asks.far()) {
			if e.at.Before(since) {
				break
			}
			if e.err == nil {
				return nil
			}
		}
		return fmt.Errorf("%s does not answer its client", n.name)
	})
}

func (f *faultFleet) startSite(name string) {
	f.t.Helper()
	f.webs[name] = startHelper(f.t, f.hub, "web", name, fmt.Sprintf("%s:%d", siteHost(name), f.tp.port))
}

// asker asks for www as a client of KT, over one socket that stays.
func (n *faultNode) asker() func() (string, error) {
	var conn *dns.Conn
	return func() (string, error) {
		if conn == nil {
			c, err := n.fleet.dialer(n.words)(context.Background(), "udp", faultDNS)
			if err != nil {
				return "", err
			}
			n.fleet.t.Cleanup(func() { c.Close() })
			conn = &dns.Conn{Conn: c, UDPSize: 1232}
		}
		return n.askOver(conn, clientKT)
	}
}

// askOver asks for www as a client does and gives the site. A node that is struck is not waited for.
func (n *faultNode) askOver(conn *dns.Conn, subnet string) (string, error) {
	q := question("www.abc.com.", dns.TypeA, subnet)
	if err := conn.WriteMsg(q); err != nil {
		return "", err
	}
	for asked := time.Now(); ; {
		conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		m, err := conn.ReadMsg()
		switch waited := time.Since(asked); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if waited > answerWithin || n.struck.Load() && waited > 200*time.Millisecond {
				return "", fmt.Errorf("no answer within %v", waited)
			}
		case err != nil:
			return "", err
		case m.Id == q.Id: // not a late answer to a question of before
			return siteOf(m), wellFormed(q, m)
		}
	}
}

// www asks once, in the node's own namespace.
func (n *faultNode) www(subnet string) (string, error) {
	conn, err := n.fleet.dialer(n.words)(context.Background(), "udp", faultDNS)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return n.askOver(&dns.Conn{Conn: conn, UDPSize: 1232}, subnet)
}

// answers waits until the node sends the clients of the subnet to the site.
func (n *faultNode) answers(limit time.Duration, subnet, want string) {
	n.t.Helper()
	until(n.t, limit, func() error {
		got, err := n.www(subnet)
		if err == nil && got != want {
			err = fmt.Errorf("%s sends %s to %s, want %s", n.name, subnet, got, want)
		}
		return err
	})
}

// cut parts the node from everybody, without either side being told.
func (n *faultNode) cut() { n.cable("0") }

func (n *faultNode) heal() { n.cable("3") }

func (n *faultNode) cable(state string) {
	n.t.Helper()
	must(n.t, append(append([]string{}, n.fleet.hub...), "bridge", "link", "set", "dev", fmt.Sprintf("p%d", n.number), "state", state)...)
}

// order runs gslb beside the node.
func (n *faultNode) order(args ...string) result {
	n.t.Helper()
	return run(n.t, patience, append(append(append([]string{}, n.words...), binary(n.t)), append(args, "--api", n.api)...)...)
}

// obeyed gives an order that has to be obeyed: at once, unless the machine keeps etcd from
// answering in time.
func (n *faultNode) obeyed(args ...string) {
	n.t.Helper()
	until(n.t, patience, func() error {
		if r := n.order(args...); r.code != 0 {
			return fmt.Errorf("%s: %s%s", strings.Join(args, " "), r.out, r.err)
		}
		return nil
	})
}
