package differential

import (
	"encoding/hex"
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

const (
	cookieSecret = "e5e973e5a6b2a43f48e7dc849e37bfcf" // of RFC 9018, appendix A
	cookieClient = "2464c4abcf10c957"
	cookieZone   = "cookies.test."
	cookieName   = "www." + cookieZone
)

// TestCookiesOfOthers: the servers of a fleet that share a secret take one
// another's cookies (RFC 9018), whichever program each of them is.
func TestCookiesOfOthers(t *testing.T) {
	bed.Long(t)
	peers := cookiePeers(t)
	cookies := map[*peer]string{}
	for _, p := range peers {
		m := p.askWithCookie(t, cookieClient)
		if cookies[p] = cookieIn(m); len(cookies[p]) != 48 || !strings.HasPrefix(cookies[p], cookieClient) {
			t.Fatalf("%s gave the cookie %q: %v", p.name, cookies[p], m)
		}
	}
	// A cookie that is made anew differs from one of a second before: NSD tells what
	// it thinks of one by giving it back, or not.
	waitSecond(t, peers[0], cookies)
	for _, maker := range peers {
		for _, taker := range peers {
			good, bad := cookies[maker], []byte(cookies[maker])
			if bad[47]++; bad[47] == '9'+1 || bad[47] == 'f'+1 { // another hexadecimal digit
				bad[47] = '0'
			}
			if m := taker.askWithCookie(t, good); !taker.believes(m, good) {
				t.Errorf("%s does not take the cookie %s of %s: %v", taker.name, good, maker.name, m)
			}
			if m := taker.askWithCookie(t, string(bad)); taker.believes(m, string(bad)) {
				t.Errorf("%s takes %s, which nobody made: %v", taker.name, bad, m)
			}
		}
	}
}

// believes tells from an answer whether the server took the cookie: all but NSD are
// set up to answer nothing but BADCOOKIE to others.
func (p *peer) believes(m *dns.Msg, cookie string) bool {
	if p.name == "NSD" {
		return cookieIn(m) == cookie
	}
	return m.Rcode == dns.RcodeSuccess && len(m.Answer) == 1
}

func (p *peer) askWithCookie(t *testing.T, cookie string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(cookieName, dns.TypeA)
	m.SetEdns0(1232, false)
	data, err := hex.DecodeString(cookie)
	if err != nil {
		t.Fatal(err)
	}
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0COOKIE, Data: data})
	client := dns.Client{Timeout: 30 * time.Second}
	answer, _, err := client.Exchange(m, p.address)
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return answer
}

func cookieIn(m *dns.Msg) string {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

// waitSecond waits until a server makes another cookie than all of these.
func waitSecond(t *testing.T, p *peer, old map[*peer]string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		made, same := cookieIn(p.askWithCookie(t, cookieClient)), false
		for _, c := range old {
			same = same || c == made
		}
		if !same {
			return
		}
	}
	t.Fatal("the clock of cookies stands still")
}

// cookiePeers starts all servers with one zone and one secret.
func cookiePeers(t *testing.T) []*peer {
	t.Helper()
	gslb, err := buildGSLB()
	if err != nil {
		t.Fatal(err)
	}
	var peers []*peer
	for _, p := range []*peer{
		{name: "gslb", command: gslb, files: cookieGSLB},
		{name: "NSD", command: "nsd", files: cookieNSD},
		{name: "Knot", command: "knotd", files: cookieKnot},
		{name: "BIND", command: "named", files: cookieBIND},
	} {
		if p.name != "gslb" {
			path, err := exec.LookPath(p.command)
			if err != nil {
				path, err = exec.LookPath("/usr/sbin/" + p.command)
			}
			if err != nil {
				bed.Missing(t, "%s is not installed: its cookies are tried here", p.command)
			}
			p.command = path
		}
		dir := filepath.Join(t.TempDir(), p.name)
		if err := os.MkdirAll(filepath.Join(dir, "storage"), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "zone"), "$ORIGIN "+cookieZone+"\n$TTL 60\n@ SOA ns1 hostmaster 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\nwww A 192.0.2.2\n")
		port := bed.FreePort(t, "127.0.0.1")
		p.address = fmt.Sprintf("127.0.0.1:%d", port)
		files, args := p.files(dir, port, nil)
		for name, text := range files {
			write(t, filepath.Join(dir, name), text)
		}
		p.ended = start(t, dir, append([]string{p.command}, args...)...)
		peers = append(peers, p)
	}
	for _, p := range peers {
		p.waitAnswers(t)
	}
	return peers
}

// waitAnswers waits until the server answers over TCP, which needs no cookie.
func (p *peer) waitAnswers(t *testing.T) {
	t.Helper()
	client := dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		m, _, err := client.Exchange(new(dns.Msg).SetQuestion(cookieName, dns.TypeA), p.address)
		if err == nil && len(m.Answer) == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v, %v", p.name, m, err)
		}
	}
}

func cookieGSLB(dir string, port int, _ []*zone) (map[string]string, []string) {
	return map[string]string{
		"gslb.toml": fmt.Sprintf(`[node]
name = "cookies"
roles = ["dns"]
data_dir = "data"

[dns]
listen = ["127.0.0.1:%d"]
cookies = "required"
cookie_secret_file = "secrets"

[etcd]
listen = "127.0.0.1:0"

[api]
listen = "off"

[[zone]]
name = %q
file = "zone"
`, port, cookieZone),
		"secrets": cookieSecret + "\n",
	}, []string{"serve", "-config", filepath.Join(dir, "gslb.toml")}
}

func cookieNSD(dir string, port int, _ []*zone) (map[string]string, []string) {
	return map[string]string{"nsd.conf": fmt.Sprintf(`server:
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
	answer-cookie: yes
	cookie-secret: "%[3]s"
remote-control:
	control-enable: no
zone:
	name: "%[4]s"
	zonefile: "zone"
`, dir, port, cookieSecret, cookieZone)}, []string{"-d", "-c", filepath.Join(dir, "nsd.conf")}
}

func cookieKnot(dir string, port int, _ []*zone) (map[string]string, []string) {
	return map[string]string{"knot.conf": fmt.Sprintf(`server:
    rundir: "%[1]s"
    listen: 127.0.0.1@%[2]d
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: warning
database:
    storage: "%[1]s/storage"
mod-cookies:
  - id: shared
    secret: 0x%[3]s
    badcookie-slip: 1
template:
  - id: default
    global-module: mod-cookies/shared
zone:
  - domain: %[4]s
    file: "%[1]s/zone"
`, dir, port, cookieSecret, cookieZone)}, []string{"-c", filepath.Join(dir, "knot.conf")}
}

func cookieBIND(dir string, port int, _ []*zone) (map[string]string, []string) {
	return map[string]string{"named.conf": fmt.Sprintf(`options {
	directory "%[1]s";
	listen-on port %[2]d { 127.0.0.1; };
	listen-on-v6 { none; };
	pid-file none;
	session-keyfile none;
	recursion no;
	dnssec-validation no;
	answer-cookie yes;
	require-server-cookie yes;
	cookie-algorithm siphash24;
	cookie-secret "%[3]s";
};
controls { };
zone "%[4]s" { type primary; file "zone"; };
`, dir, port, cookieSecret, cookieZone)}, []string{"-g", "-n", "1", "-c", filepath.Join(dir, "named.conf")}
}
