package differential

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/test/bed"
)

// peer is one of the servers that are asked. The first is gslb.
type peer struct {
	name    string
	command string // "" for gslb, which is built
	files   func(dir string, port int, zones []*zone) (map[string]string, []string)
	adorns  bool          // adds the zone's own NS records to positive answers
	address string        // host:port, once it runs
	ended   chan struct{} // closed when it does not run any more
}

// newPeers are the servers in the order of all lists of answers.
func newPeers() []*peer {
	return []*peer{
		{name: "gslb", files: gslbFiles},
		{name: "NSD", command: "nsd", files: nsdFiles, adorns: true},
		{name: "Knot", command: "knotd", files: knotFiles},
		{name: "BIND", command: "named", files: bindFiles},
	}
}

// All send UDP answers of at most so many octets.
const maxUDPSize = 1232

func gslbFiles(dir string, port int, zones []*zone) (map[string]string, []string) {
	var b strings.Builder
	fmt.Fprintf(&b, `[node]
name = "differential"
roles = ["dns"]
data_dir = "data"
log_level = "error"

[dns]
listen = ["127.0.0.1:%d"]
workers = 1
max_udp_size = %d
max_amplification = 0

[etcd]
listen = "127.0.0.1:0"

[api]
listen = "off"
`, port, maxUDPSize)
	for _, z := range zones {
		fmt.Fprintf(&b, "\n[[zone]]\nname = %q\nfile = %q\n", z.origin, cmp.Or(z.own, z.file))
	}
	return map[string]string{"gslb.toml": b.String()}, []string{"serve", "-config", filepath.Join(dir, "gslb.toml")}
}

// nsdFiles switches the response rate limit off, which Debian's build has on:
// one client asks all the questions here.
func nsdFiles(dir string, port int, zones []*zone) (map[string]string, []string) {
	var b strings.Builder
	fmt.Fprintf(&b, `server:
	server-count: 1
	ip-address: 127.0.0.1@%[2]d
	username: ""
	chroot: ""
	zonesdir: "%[1]s"
	database: ""
	pidfile: "%[1]s/nsd.pid"
	xfrdfile: "%[1]s/xfrd.state"
	xfrdir: "%[1]s"
	zonelistfile: "%[1]s/zone.list"
	ipv4-edns-size: %[3]d
	rrl-ratelimit: 0
	rrl-whitelist-ratelimit: 0
	refuse-any: no
	tcp-timeout: 60
remote-control:
	control-enable: no
`, dir, port, maxUDPSize)
	for _, z := range zones {
		fmt.Fprintf(&b, "zone:\n\tname: \"%s\"\n\tzonefile: \"%s\"\n", z.origin, z.file)
	}
	return map[string]string{"nsd.conf": b.String()}, []string{"-d", "-c", filepath.Join(dir, "nsd.conf")}
}

func knotFiles(dir string, port int, zones []*zone) (map[string]string, []string) {
	var b strings.Builder
	fmt.Fprintf(&b, `server:
    rundir: "%[1]s"
    listen: 127.0.0.1@%[2]d
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    udp-max-payload: %[3]d
    tcp-idle-timeout: 60
log:
  - target: stderr
    any: warning
database:
    storage: "%[1]s/storage"
template:
  - id: default
    semantic-checks: off
    zonefile-load: whole
    journal-content: none
zone:
`, dir, port, maxUDPSize)
	for _, z := range zones {
		fmt.Fprintf(&b, "  - domain: %s\n    file: \"%s\"\n", z.origin, z.file)
	}
	return map[string]string{"knot.conf": b.String()}, []string{"-c", filepath.Join(dir, "knot.conf")}
}

// bindFiles has minimal responses as far as authority goes: BIND then adds the
// addresses of what an answer names, like the others, but no NS records.
func bindFiles(dir string, port int, zones []*zone) (map[string]string, []string) {
	var b strings.Builder
	fmt.Fprintf(&b, `options {
	directory "%[1]s";
	listen-on port %[2]d { 127.0.0.1; };
	listen-on-v6 { none; };
	pid-file none;
	session-keyfile none;
	recursion no;
	dnssec-validation no;
	minimal-responses no-auth;
	minimal-any no;
	allow-transfer { any; };
	notify no;
	edns-udp-size %[3]d;
	max-udp-size %[3]d;
	nocookie-udp-size %[3]d;
	max-records-per-type 0;
	check-names primary ignore;
	check-integrity no;
	check-mx ignore;
	check-sibling no;
	check-mx-cname ignore;
	check-srv-cname ignore;
	check-dup-records ignore;
	rrset-order { order none; };
	tcp-idle-timeout 600;
};
controls { };
`, dir, port, maxUDPSize)
	for _, z := range zones {
		fmt.Fprintf(&b, "zone \"%s\" { type primary; file \"%s\"; };\n", z.origin, z.file)
	}
	return map[string]string{"named.conf": b.String()}, []string{"-g", "-n", "1", "-c", filepath.Join(dir, "named.conf")}
}

// startPeers starts all of them with the same zones and waits until each
// serves all zones. It skips the test where one is not installed.
func startPeers(t testing.TB, zones []*zone) []*peer { return startPeersWith(t, zones, "") }

// startPeersWith is startPeers with more of gslb's configuration.
func startPeersWith(t testing.TB, zones []*zone, more string) []*peer {
	t.Helper()
	peers := newPeers()
	for _, p := range peers {
		if p.command == "" {
			continue
		}
		if path, err := exec.LookPath(p.command); err == nil {
			p.command = path
		} else if path, err := exec.LookPath("/usr/sbin/" + p.command); err == nil {
			p.command = path
		} else {
			bed.Missing(t, "%s is not installed: the answers are compared with those of NSD, Knot DNS and BIND", p.command)
		}
	}
	gslb, err := buildGSLB()
	if err != nil {
		t.Fatal(err)
	}
	peers[0].command = gslb
	for i, p := range peers {
		dir := filepath.Join(t.TempDir(), p.name)
		if err := os.MkdirAll(filepath.Join(dir, "storage"), 0o755); err != nil {
			t.Fatal(err)
		}
		port := bed.FreePort(t, "127.0.0.1")
		p.address = fmt.Sprintf("127.0.0.1:%d", port)
		files, args := p.files(dir, port, zones)
		if i == 0 {
			files["gslb.toml"] += more
		}
		for name, text := range files {
			write(t, filepath.Join(dir, name), text)
		}
		p.ended = start(t, dir, append([]string{p.command}, args...)...)
	}
	for _, p := range peers {
		p.waitServes(t, zones)
	}
	for _, z := range zones {
		z.transfer(t, peers[len(peers)-1])
	}
	return peers
}

// waitServes waits until the server has every zone: its SOA, with AA.
func (p *peer) waitServes(t testing.TB, zones []*zone) {
	t.Helper()
	client := dns.Client{Timeout: 5 * time.Second}
	deadline := time.Now().Add(2 * time.Minute)
	for _, z := range zones {
		for {
			m, _, err := client.Exchange(new(dns.Msg).SetQuestion(z.origin, dns.TypeSOA), p.address)
			if err == nil && m.Authoritative && len(m.Answer) == 1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not serve zone %s (%v, %v)", p.name, z.origin, m, err)
			}
			select {
			case <-p.ended:
				t.Fatalf("%s has ended", p.name)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}
