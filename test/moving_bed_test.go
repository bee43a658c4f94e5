package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/test/bed"
)

// The key that the servers of these tests share, and another.
const (
	moveKey    = "move.test."
	moveSecret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	otherKey   = "other.test."
	otherSec   = "b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXItb3Q="
)

// moveZone is a small zone whose secondaries look again soon.
const moveZone = `$TTL 300
@    IN SOA ns1 hostmaster ( %d 2 1 600 60 )
     IN NS  ns1
     IN MX  10 mail
ns1  IN A   127.0.0.1
mail IN A   192.0.2.25
www  IN AAAA 2001:db8::80
text IN TXT "one" "two; three"
*.wild IN CNAME www
Upper.Case IN A 192.0.2.99
sub  IN NS  ns.sub
ns.sub IN A 192.0.2.53
odd  IN TYPE65400 \# 4 01020304
srv  IN SRV 1 2 3 mail
`

// mover is a gslb whose zones move.
type mover struct {
	*process
	dir, dns, config string
}

// startMover starts a gslb with more configuration; DNS is where it listens.
func startMover(t testing.TB, dir, address, more string) *mover {
	t.Helper()
	api := freeAddress(t)
	text := fmt.Sprintf(`[node]
name = "mover"
roles = ["dns"]
data_dir = "data"
log_level = "debug"

[dns]
listen = [%q]

[etcd]
listen = "127.0.0.1:0"

[api]
listen = %q

[tsig.%q]
secret = %q

[tsig.%q]
algorithm = "hmac-sha512"
secret = %q

`, address, api, moveKey, moveSecret, otherKey, otherSec)
	m := &mover{dir: dir, dns: address, config: write(t, dir, "gslb.toml", text+more)}
	m.process = start(t, "gslb "+filepath.Base(dir), nil, binary(t), "serve", "-config", m.config)
	(&node{process: m.process, api: api}).waitReady()
	return m
}

// another is a server of another make.
type another struct {
	*process
	name, dns, dir string
}

// needServer finds a server's program.
func needServer(t testing.TB, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	bed.Missing(t, "%s is not installed: zones are transferred with NSD, Knot DNS and BIND", name)
	return ""
}

// startBIND starts BIND with more configuration.
func startBIND(t testing.TB, address, more string) *another {
	t.Helper()
	return startBINDWith(t, address, "", more)
}

// startBINDWith is startBIND with more options.
func startBINDWith(t testing.TB, address, options, more string) *another {
	t.Helper()
	host, port, _ := net.SplitHostPort(address)
	dir := t.TempDir()
	conf := write(t, dir, "named.conf", fmt.Sprintf(`options {
	directory "%[1]s";
	listen-on port %[2]s { %[3]s; };
	listen-on-v6 { none; };
	pid-file none;
	session-keyfile none;
	recursion no;
	dnssec-validation no;
	notify explicit;
	min-refresh-time 1; min-retry-time 1; max-ixfr-ratio unlimited;
	check-integrity no; check-names primary ignore; check-names secondary ignore; check-mx ignore; check-sibling no;
	%[6]s
};
controls { };
key "%[4]s" { algorithm hmac-sha256; secret "%[5]s"; };
`, dir, port, host, moveKey, moveSecret, options)+more)
	return &another{start(t, "BIND", nil, needServer(t, "named"), "-g", "-n", "1", "-c", conf), "BIND", address, dir}
}

// startKnot starts Knot DNS with more configuration, in which DIR is its folder;
// zones stand in it last.
func startKnot(t testing.TB, address, more string) *another {
	t.Helper()
	dir := t.TempDir()
	conf := write(t, dir, "knot.conf", fmt.Sprintf(`server:
    rundir: "%[1]s"
    listen: %[2]s
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: "%[1]s"
template:
  - id: default
    storage: "%[1]s"
key:
  - id: %[3]s
    algorithm: hmac-sha256
    secret: %[4]s
`, dir, strings.Replace(address, ":", "@", 1), moveKey, moveSecret)+strings.ReplaceAll(more, "DIR", dir))
	return &another{start(t, "Knot", nil, needServer(t, "knotd"), "-c", conf), "Knot", address, dir}
}

// startNSD starts NSD with more configuration.
func startNSD(t testing.TB, address, more string) *another {
	t.Helper()
	dir := t.TempDir()
	conf := write(t, dir, "nsd.conf", fmt.Sprintf(`server:
	server-count: 1
	ip-address: %[2]s
	username: ""
	chroot: ""
	zonesdir: "%[1]s"
	database: ""
	pidfile: "%[1]s/nsd.pid"
	xfrdfile: "%[1]s/xfrd.state"
	xfrdir: "%[1]s"
	zonelistfile: "%[1]s/zone.list"
	xfrd-reload-timeout: 0
	verbosity: 2
remote-control:
	control-enable: no
key:
	name: "%[3]s"
	algorithm: hmac-sha256
	secret: "%[4]s"
`, dir, strings.Replace(address, ":", "@", 1), moveKey, moveSecret)+more)
	return &another{start(t, "NSD", nil, needServer(t, "nsd"), "-d", "-c", conf), "NSD", address, dir}
}

// serial asks a server for the serial number of a zone.
func serial(address, zone string) (uint32, error) {
	m, err := exchange("udp", address, new(dns.Msg).SetQuestion(zone, dns.TypeSOA))
	if err != nil {
		return 0, err
	}
	if len(m.Answer) != 1 || !m.Authoritative {
		return 0, fmt.Errorf("%s %s: %s, %d records", address, zone, dns.RcodeToString[m.Rcode], len(m.Answer))
	}
	return m.Answer[0].(*dns.SOA).Serial, nil
}

// hasSerial waits until a server has a version of a zone.
func hasSerial(t testing.TB, address, zone string, want uint32) {
	t.Helper()
	until(t, patience, func() error {
		got, err := serial(address, zone)
		if err == nil && got != want {
			err = fmt.Errorf("%s has serial %d of %s, want %d", address, got, zone, want)
		}
		return err
	})
}

// axfr gives all records of a zone, sorted, as a server sends them to whoever
// signs with a key ("" for none).
func axfr(t testing.TB, address, zone, key, secret string) []string {
	t.Helper()
	all, err := tryAXFR(address, zone, key, secret)
	if err != nil {
		t.Fatalf("AXFR of %s from %s: %v", zone, address, err)
	}
	return all
}

func tryAXFR(address, zone, key, secret string) (all []string, err error) {
	return axfrBy(&dns.Transfer{}, address, zone, key, secret)
}

func axfrBy(tr *dns.Transfer, address, zone, key, secret string) (all []string, err error) {
	tr.DialTimeout, tr.ReadTimeout, tr.WriteTimeout = answerWithin, answerWithin, answerWithin
	m := new(dns.Msg).SetAxfr(zone)
	if key != "" {
		tr.TsigSecret = map[string]string{key: secret}
		algorithm := dns.HmacSHA256
		if key == otherKey {
			algorithm = dns.HmacSHA512
		}
		m.SetTsig(key, algorithm, 300, time.Now().Unix())
	}
	ch, err := tr.In(m, address)
	if err != nil {
		return nil, err
	}
	for e := range ch {
		if e.Error != nil {
			err = e.Error
			continue
		}
		for _, rr := range e.RR {
			all = append(all, strings.ToLower(strings.Join(strings.Fields(rr.String()), " ")))
		}
	}
	slices.Sort(all)
	return all, err
}

// sameZone sees that two servers have the same records of a zone.
func sameZone(t testing.TB, zone string, a, b []string) {
	t.Helper()
	if !slices.Equal(a, b) {
		t.Errorf("zone %s differs:\n%s\n--- other:\n%s", zone, strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

// comesToHave waits until a server of another make has these records of a zone: of its processes
// one may still send, or refuse, what another has already.
func comesToHave(t testing.TB, what string, want []string, address, zone, key, secret string) {
	t.Helper()
	until(t, patience, func() error {
		got, err := tryAXFR(address, zone, key, secret)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("zone %s differs:\n%s\n--- other:\n%s", what, strings.Join(want, "\n"), strings.Join(got, "\n"))
		}
		return err
	})
}

func writeZone(t testing.TB, dir string, serial uint32, more string) string {
	t.Helper()
	path := filepath.Join(dir, "example.zone")
	text := fmt.Sprintf(moveZone, serial) + more
	if _, err := os.Stat(path); err == nil {
		replace(t, path, []byte(text))
		return path
	}
	return write(t, dir, "example.zone", text)
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
