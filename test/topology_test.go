package test

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gslb/test/bed"
)

// topology is the worked example on loopback: operators KT and LG U+ in one
// country, China and the United States, a site for each, and the zone abc.com
// with www (answered with a CNAME) and img (answered with addresses). Tests
// change its fields before they start nodes.
//
//	site  canonical name    address      its users come from
//	kt    a.www.abc.com.    127.0.11.10  198.51.100.0/24 (KT, Seoul)
//	lgu   b.www.abc.com.    127.0.12.10  203.0.113.0/24 (LG U+, Busan)
//	cn    c.www.abc.com.    127.0.21.10  192.0.2.0/24 (Shanghai)
//	us    d.www.abc.com.    127.0.31.10  8.8.8.0/24 (San Francisco)
type topology struct {
	t   testing.TB
	dir string // configuration, zones, data

	dns  string // of the DNS node, host:port
	api  string // of the DNS node
	etcd string // client address of the etcd that the fleet shares
	peer string // its peer address
	// outside makes the DNS node use an etcd of its own process (startEtcd)
	// instead of an embedded one.
	outside bool
	port    int // of every site's frontend

	interval, timeout time.Duration // of the check
	rise, fall        int
	capacity          float64  // of a web server, in connections
	extra             string   // more configuration of the DNS node
	shared            string   // more configuration of all nodes
	keys              string   // more keys of its [dns], a line each
	zone              string   // path of abc.com's master file
	prefix            []string // words before each command, such as those of a namespace
}

type site struct {
	name, cname, subnet string
	address             string // host, of the frontend
	location            string
	place               string
}

// Clients of each place, and one that nothing is known about.
const (
	clientKT      = "198.51.100.7/24"
	clientLGU     = "203.0.113.9/24"
	clientCN      = "192.0.2.77/24"
	clientUS      = "8.8.8.8/24"
	clientUnknown = "9.9.9.9/24"
)

var sites = []site{
	{"kt", "a.www.abc.com.", "198.51.100.0/24", "127.0.11.10", "[37.57, 126.98]", `continent = "AS", country = "KR", city = "Seoul", location = [37.57, 126.98], isp = "KT"`},
	{"lgu", "b.www.abc.com.", "203.0.113.0/24", "127.0.12.10", "[35.18, 129.08]", `continent = "AS", country = "KR", city = "Busan", location = [35.18, 129.08], isp = "LG U+"`},
	{"cn", "c.www.abc.com.", "192.0.2.0/24", "127.0.21.10", "[31.23, 121.47]", `continent = "AS", country = "CN", city = "Shanghai", location = [31.23, 121.47]`},
	{"us", "d.www.abc.com.", "8.8.8.0/24", "127.0.31.10", "[37.77, -122.42]", `continent = "NA", country = "US", city = "San Francisco", location = [37.77, -122.42]`},
}

func siteNamed(t testing.TB, name string) site {
	t.Helper()
	for _, s := range sites {
		if s.name == name {
			return s
		}
	}
	t.Fatalf("no site %q", name)
	return site{}
}

// abcZone is the master file of abc.com, with what a zone may have.
const abcZone = `$TTL 300
@          IN SOA  ns1 hostmaster ( 2026010101 3600 600 86400 60 )
           IN NS   ns1
           IN MX   10 mail
           IN TXT  "v=spf1 -all"
ns1        IN A    127.0.0.1
mail       IN A    192.0.2.25
           IN AAAA 2001:db8::25
alias      IN CNAME www
chain1     IN CNAME chain2
chain2     IN CNAME chain3
chain3     IN CNAME mail
a.www      IN A    127.0.11.10
           IN AAAA 2001:db8:11::10
b.www      IN A    127.0.12.10
           IN AAAA 2001:db8:12::10
c.www      IN A    127.0.21.10
           IN AAAA 2001:db8:21::10
d.www      IN A    127.0.31.10
           IN AAAA 2001:db8:31::10
*.wild     IN TXT  "from the wildcard"
not.wild   IN A    192.0.2.50
deep.empty.nonterminal IN A 192.0.2.60
big        IN TXT  "%s"
           IN TXT  "%[1]s2"
           IN TXT  "%[1]s3"
           IN TXT  "%[1]s4"
           IN TXT  "%[1]s5"
           IN TXT  "%[1]s6"
           IN TXT  "%[1]s7"
           IN TXT  "%[1]s8"
sub        IN NS   ns.sub
ns.sub     IN A    192.0.2.53
_sip._tcp  IN SRV  0 5 5060 mail
unknown    IN TYPE65400 \# 4 01020304
$INCLUDE abc.com.hosts
$GENERATE 1-20 host$ A 192.0.2.$
`

const abcHosts = "included   IN A    192.0.2.70\n"

// newTopology writes the zone and chooses free ports. Nothing is started.
func newTopology(t testing.TB) *topology {
	t.Helper()
	needLinux(t)
	needLong(t)
	tp := &topology{
		t: t, dir: t.TempDir(),
		dns: freeAddress(t), api: freeAddress(t), etcd: freeAddress(t), peer: freeAddress(t),
		port: freeSitePort(t),
		// What is dead refuses at once. Long time-outs, and three of them, are what a busy machine needs.
		interval: time.Second, timeout: time.Second, rise: 1, fall: 3, capacity: 1000,
	}
	tp.zone = write(t, tp.dir, "abc.com.zone", fmt.Sprintf(abcZone, strings.Repeat("x", 200)))
	write(t, tp.dir, "abc.com.hosts", abcHosts)
	return tp
}

// configuration is what all nodes share.
func (tp *topology) configuration() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[[zone]]\nname = \"abc.com.\"\nfile = %q\n\n", tp.zone)
	fmt.Fprintf(&b, "[check.web]\ntype = \"http\"\npath = \"/healthz\"\ninterval = %q\ntimeout = %q\nrise = %d\nfall = %d\n\n", tp.interval, tp.timeout, tp.rise, tp.fall)
	for _, s := range sites {
		third := strings.Split(s.address, ".")[2]
		fmt.Fprintf(&b, "[[site]]\nname = %q\ncname = %q\naddresses = [%q, \"2001:db8:%s::10\"]\nlocation = %s\ncheck = \"web\"\ncheck_address = [\"%s:%d\"]\n\n",
			s.name, s.cname, s.address, third, s.location, s.address, tp.port)
		fmt.Fprintf(&b, "[[geo.override]]\nnetworks = [%q]\nplace = { %s }\n\n", s.subnet, s.place)
	}
	for name, form := range map[string]string{"www": "cname", "img": "address"} {
		fmt.Fprintf(&b, `[[steer]]
name = "%s.abc.com."
answer = %q
ttl = "5s"
  [[steer.rule]]
  isp = ["KT"]
  to = ["kt", "lgu"]
  [[steer.rule]]
  isp = ["LG U+"]
  to = ["lgu", "kt"]
  [[steer.rule]]
  country = ["CN"]
  to = ["cn", "nearest:all"]
  [[steer.rule]]
  to = ["nearest:all"]

`, name, form)
	}
	return b.String() + tp.shared
}

// severalSites is a name whose answers have the three nearest sites.
const severalSites = `[[steer]]
name = "set.abc.com."
answer = "address"
answers = 3
ttl = "5s"
  [[steer.rule]]
  to = ["nearest:all"]

`

// node is a running gslb.
type node struct {
	*process
	dns, api, config string
	tp               *topology
	starved          string // what busy found
}

// writeDNSNode writes the configuration of the first DNS node, which checks the
// sites too and, unless tp.outside, has the fleet's etcd embedded.
func (tp *topology) writeDNSNode() string {
	tp.t.Helper()
	etcd := fmt.Sprintf("embedded = true\nlisten = %q\npeer_listen = %q\n", tp.etcd, tp.peer)
	if tp.outside {
		etcd = fmt.Sprintf("endpoints = [\"http://%s\"]\n", tp.etcd)
	}
	text := nodeConfiguration("ns1", `["dns", "checker"]`, etcd, tp.api) + fmt.Sprintf("[dns]\nlisten = [%q]\n%s\n", tp.dns, tp.keys)
	return write(tp.t, tp.dir, "ns1.toml", text+tp.configuration()+tp.extra)
}

// nodeConfiguration is what a node says of itself.
func nodeConfiguration(name, roles, etcd, api string) string {
	return fmt.Sprintf(`[node]
name = %[1]q
roles = %[2]s
data_dir = "%[1]s-data"
log_level = "debug"

[etcd]
%[3]s

[api]
listen = %[4]q

`, name, roles, etcd, api)
}

// startMore starts a further DNS node and checker of the fleet. change may
// alter what it is told about the sites; own are lines of its [node].
func (tp *topology) startMore(name string, change func(configuration string) string, own ...string) *node {
	tp.t.Helper()
	dns, api := freeAddress(tp.t), freeAddress(tp.t)
	text := nodeConfiguration(name, `["dns", "checker"]`, fmt.Sprintf("endpoints = [\"http://%s\"]", tp.etcd), api)
	text = strings.Replace(text, "[node]\n", "[node]\n"+strings.Join(own, ""), 1)
	text += fmt.Sprintf("[dns]\nlisten = [%q]\n\n", dns) + change(tp.configuration()) + tp.extra
	return tp.startNode(name, write(tp.t, tp.dir, name+".toml", text), dns, api)
}

// startDNSNode starts the DNS node and waits until it answers.
func (tp *topology) startDNSNode() *node {
	tp.t.Helper()
	return tp.startNode("ns1", tp.writeDNSNode(), tp.dns, tp.api)
}

func (tp *topology) startNode(name, config, dns, api string) *node {
	tp.t.Helper()
	argv := append(append([]string{}, tp.prefix...), binary(tp.t), "serve", "-config", config)
	n := &node{process: start(tp.t, name, nil, argv...), dns: dns, api: api, config: config, tp: tp}
	if len(tp.prefix) == 0 {
		n.waitReady()
	}
	return n
}

// waitReady waits until /readyz says so.
func (n *node) waitReady() {
	n.t.Helper()
	until(n.t, patience, func() error {
		if n.ended() {
			n.t.Fatalf("%s ended: %v", n.name, n.cmd.ProcessState)
		}
		_, err := get("http://" + n.api + "/readyz")
		return err
	})
}

// siteNode is a site: a node with the balancer role and its web servers, each a
// process of its own.
type siteNode struct {
	*node
	site
	frontend string // host:port that users connect to
	servers  []*process
	spare    *process
}

// host is the address of a site's frontend (0), its servers (1, 2) or its spare (3).
func (s site) host(number int) string {
	return fmt.Sprintf("%s.%d", strings.TrimSuffix(s.address, ".10"), 10+number)
}

// server is the host with a port.
func (s site) server(port, number int) string {
	return net.JoinHostPort(s.host(number), strconv.Itoa(port))
}

// startSite starts a site's web servers and its balancer.
func (tp *topology) startSite(name string) *siteNode {
	tp.t.Helper()
	s := siteNamed(tp.t, name)
	sn := &siteNode{site: s, frontend: net.JoinHostPort(s.address, strconv.Itoa(tp.port))}
	for i := 1; i <= 2; i++ {
		sn.servers = append(sn.servers, tp.startWeb(fmt.Sprintf("%s-server%d", name, i), s.server(tp.port, i)))
	}
	sn.spare = tp.startWeb(name+"-spare", s.server(tp.port, 3))

	api := freeAddress(tp.t)
	text := nodeConfiguration("lb1."+name, `["balancer"]`, fmt.Sprintf("endpoints = [\"http://%s\"]", tp.etcd), api)
	text += fmt.Sprintf(`[[frontend]]
name = "www"
site = %q
listen = [%q]
check = "web"
spare_hold = "1s"
  [[frontend.server]]
  address = %q
  capacity = %g
  [[frontend.server]]
  address = %q
  capacity = %[4]g
  [[frontend.spare]]
  address = %[6]q
  capacity = %[4]g

`, name, sn.frontend, s.server(tp.port, 1), tp.capacity, s.server(tp.port, 2), s.server(tp.port, 3))
	config := write(tp.t, tp.dir, name+".toml", text+tp.configuration())
	sn.node = tp.startNode("lb1."+name, config, "", api)
	return sn
}

// KillAll ends the whole site at once, as a power cut does.
func (s *siteNode) KillAll() {
	all := append([]*process{s.process, s.spare}, s.servers...)
	for _, p := range all {
		p.killed = true
		_ = p.cmd.Process.Kill()
	}
	for _, p := range all {
		<-p.done
	}
}

// startPlainSites starts sites without a balancer: a web server at the site's
// own address. It gives a process for each. Without names it starts all.
func (tp *topology) startPlainSites(names ...string) map[string]*process {
	tp.t.Helper()
	if len(names) == 0 {
		for _, s := range sites {
			names = append(names, s.name)
		}
	}
	started := map[string]*process{}
	for _, name := range names {
		started[name] = tp.startWeb(name, net.JoinHostPort(siteNamed(tp.t, name).address, strconv.Itoa(tp.port)))
	}
	return started
}

// detection bounds how long a site may be dead before answers avoid it.
func (tp *topology) detection() time.Duration {
	return time.Duration(tp.fall)*tp.interval + tp.timeout + time.Second
}

func (tp *topology) path(name string) string { return filepath.Join(tp.dir, name) }

// freeAddress gives 127.0.0.1 with a port that nobody has, for UDP and TCP.
func freeAddress(t testing.TB) string {
	t.Helper()
	return bed.FreeAddress(t)
}

// freeSitePort gives a port that is free on the addresses of all sites.
func freeSitePort(t testing.TB) int {
	t.Helper()
	var hosts []string
	for _, s := range sites {
		for number := range 4 {
			hosts = append(hosts, s.host(number))
		}
	}
	return bed.FreePort(t, hosts...)
}
