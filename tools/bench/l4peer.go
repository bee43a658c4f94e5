package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// l4Peer is a balancer that can take part in "bench balancer".
type l4Peer struct {
	name, title, origin string
	binary              string // gslb's is built; others are looked up as DNS servers are
	version             []string
	number              *regexp.Regexp
	udp                 bool // it balances datagrams
	// configure writes the configuration into dir and returns the arguments to
	// start it with, in the foreground.
	configure func(dir string, at l4Place) ([]string, error)
}

// l4Place is where a balancer listens, and the servers behind it.
type l4Place struct {
	listen    string // TCP
	datagrams string // UDP
	servers   []string
}

var l4Peers = []l4Peer{
	{name: "gslb", title: "gslb", binary: "gslb", udp: true, configure: gslbBalancer("")},
	{name: "gslb-portable", title: "gslb, portable engine", binary: "gslb", udp: true, configure: gslbBalancer("engine = \"portable\"\n")},
	{name: "haproxy", title: "HAProxy", binary: "haproxy", origin: "Debian's haproxy", version: []string{"-v"}, number: haproxyVersion, configure: haproxyConfig("")},
	{name: "haproxy-splice", title: "HAProxy, splicing", binary: "haproxy", origin: "Debian's haproxy", version: []string{"-v"}, number: haproxyVersion,
		configure: haproxyConfig("    option splice-request\n    option splice-response\n")},
	{name: "nginx", title: "nginx stream", binary: "nginx", origin: "Debian's nginx-light and libnginx-mod-stream", version: []string{"-v"}, number: regexp.MustCompile(`nginx/(\S+)`), udp: true, configure: nginxConfig},
}

var haproxyVersion = regexp.MustCompile(`version (\S+)`)

func l4PeerNames() []string {
	var names []string
	for i := range l4Peers {
		names = append(names, l4Peers[i].name)
	}
	return names
}

// path finds the binary.
func (p *l4Peer) path(tools string) (string, bool) {
	if p.binary == "gslb" {
		return filepath.Join(tools, p.binary), true
	}
	return findBinary(p.binary)
}

// versionOf asks the binary.
func (p *l4Peer) versionOf(ctx context.Context, path string) string {
	if p.binary == "gslb" {
		return gslbVersion(ctx)
	}
	out, _ := exec.CommandContext(ctx, path, p.version...).CombinedOutput()
	if m := p.number.FindSubmatch(out); m != nil {
		return string(m[1])
	}
	return "unknown"
}

// gslbBalancer configures a node that is a balancer and nothing else. extra are
// lines of its frontends.
func gslbBalancer(extra string) func(string, l4Place) ([]string, error) {
	return func(dir string, at l4Place) ([]string, error) {
		var b strings.Builder
		fmt.Fprintf(&b, "[node]\nname = \"bench\"\nroles = [\"balancer\"]\ndata_dir = \"data\"\nlog_level = \"warn\"\n\n[etcd]\nlisten = \"127.0.0.1:0\"\n\n[api]\nlisten = \"off\"\n\n[[site]]\nname = \"here\"\naddresses = [\"192.0.2.1\"]\n")
		frontend := func(name, protocol, listen string) {
			fmt.Fprintf(&b, "\n[[frontend]]\nname = %q\nsite = \"here\"\nprotocol = %q\nlisten = [%q]\n%s", name, protocol, listen, extra)
			for _, s := range at.servers {
				fmt.Fprintf(&b, "  [[frontend.server]]\n  address = %q\n", s)
			}
		}
		frontend("tcp", "tcp", at.listen)
		if at.datagrams != "" {
			frontend("udp", "udp", at.datagrams)
		}
		file := filepath.Join(dir, "gslb.toml")
		return []string{"serve", "-config", file}, os.WriteFile(file, []byte(b.String()), 0o644)
	}
}

// haproxyConfig is one thread in TCP mode.
func haproxyConfig(options string) func(string, l4Place) ([]string, error) {
	return func(dir string, at l4Place) ([]string, error) {
		var b strings.Builder
		fmt.Fprintf(&b, "global\n    nbthread 1\n    maxconn %d\n    maxpipes 40\n\ndefaults\n    mode tcp\n    timeout connect 2s\n    timeout client 5m\n    timeout server 5m\n\nlisten bench\n    bind %s\n    balance leastconn\n%s", l4Idle+20, at.listen, options)
		for i, s := range at.servers {
			fmt.Fprintf(&b, "    server s%d %s\n", i+1, s)
		}
		file := filepath.Join(dir, "haproxy.cfg")
		return []string{"-db", "-f", file}, os.WriteFile(file, []byte(b.String()), 0o644)
	}
}

// nginxConfig is one worker. It half-closes as the others do by themselves.
func nginxConfig(dir string, at l4Place) ([]string, error) {
	var b strings.Builder
	if module := "/usr/lib/nginx/modules/ngx_stream_module.so"; exists(module) {
		fmt.Fprintf(&b, "load_module %s;\n", module)
	}
	fmt.Fprintf(&b, "daemon off;\nworker_processes 1;\npid %s/nginx.pid;\nerror_log stderr warn;\nworker_rlimit_nofile %d;\nevents { worker_connections %[2]d; }\nstream {\n    upstream servers {\n        least_conn;\n", dir, 2*l4Idle+100)
	for _, s := range at.servers {
		fmt.Fprintf(&b, "        server %s max_fails=0;\n", s)
	}
	fmt.Fprintf(&b, "    }\n    server {\n        listen %s;\n        proxy_pass servers;\n        proxy_half_close on;\n    }\n", at.listen)
	if at.datagrams != "" {
		fmt.Fprintf(&b, "    server {\n        listen %s udp;\n        proxy_pass servers;\n    }\n", at.datagrams)
	}
	b.WriteString("}\n")
	file := filepath.Join(dir, "nginx.conf")
	return []string{"-c", file, "-p", dir, "-e", "stderr"}, os.WriteFile(file, []byte(b.String()), 0o644)
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
