package test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.etcd.io/etcd/server/v3/embed"
)

// The test program started again with this variable is one of the helpers
// below: a process of its own that a test can kill.
const helperVariable = "GSLB_TEST_HELPER"

// ready is what a helper says when it serves.
const ready = "helper is ready"

// helpers are what runs for each name; systems add those that only they can run.
var helpers = map[string]func(context.Context, []string) error{
	"web":       serveWeb,
	"etcd":      serveEtcd,
	"authority": serveAuthority,
}

// runHelper is the main function of a helper process.
func runHelper(name string, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := helpers[name](ctx, args); err != nil {
		fmt.Fprintf(os.Stderr, "helper %s: %v\n", name, err)
		return 1
	}
	return 0
}

// startHelper starts a helper and waits until it serves. prefix are words
// before the command, such as those of a namespace.
func startHelper(t testing.TB, prefix []string, helper string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv := append(append(append([]string{}, prefix...), self), args...)
	p := start(t, helper+" "+strings.Join(args, " "), []string{helperVariable + "=" + helper}, argv...)
	p.says(ready)
	return p
}

// startWeb starts web servers, one process for all the addresses given.
func (tp *topology) startWeb(name string, addresses ...string) *process {
	tp.t.Helper()
	return startHelper(tp.t, tp.prefix, "web", append([]string{name}, addresses...)...)
}

// bulk is more than the sockets on the way hold, of which no two parts are the same.
func bulk() []byte {
	out := make([]byte, 0, 8<<20)
	for i := uint32(0); len(out) < cap(out); i++ {
		out = append(out, byte(i>>24), byte(i>>16), byte(i>>8), byte(i))
	}
	return out
}

// serveWeb answers /healthz with 200, /bulk with much, and / with its name, the address that it
// was asked at and that of who asks.
func serveWeb(ctx context.Context, args []string) error {
	name := args[0]
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		fmt.Fprintf(w, "%s %s %s\n", name, local, r.RemoteAddr)
	})
	mux.HandleFunc("/bulk", func(w http.ResponseWriter, _ *http.Request) { w.Write(bulk()) })
	var servers []*http.Server
	failed := make(chan error, len(args))
	for _, a := range args[1:] {
		// No probes of idle connections: a test says when there are packets.
		l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(ctx, "tcp", a)
		if err != nil {
			return err
		}
		s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		servers = append(servers, s)
		go func() { failed <- s.Serve(l) }()
	}
	fmt.Println(ready)
	defer func() {
		for _, s := range servers {
			s.Close()
		}
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// startEtcd starts the fleet's etcd, of one member. Started again it has its data.
func (tp *topology) startEtcd() *process {
	tp.t.Helper()
	return startHelper(tp.t, tp.prefix, "etcd", tp.path("etcd"), "http://"+tp.etcd, "http://"+tp.peer)
}

func serveEtcd(ctx context.Context, args []string) error {
	client, err1 := url.Parse(args[1])
	peer, err2 := url.Parse(args[2])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	cfg := embed.NewConfig()
	cfg.Dir = args[0]
	cfg.LogLevel = "error"
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.UnsafeNoFsync = true // a crash of the machine is not part of any test
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer e.Close()
	select {
	case <-e.Server.ReadyNotify():
	case err := <-e.Err():
		return err
	case <-ctx.Done():
		return nil
	}
	fmt.Println(ready)
	select {
	case <-ctx.Done():
		return nil
	case err := <-e.Err():
		return err
	}
}

// startAuthority starts a plain authoritative server for some zones, each
// "address=origin=file".
func (tp *topology) startAuthority(zones ...string) *process {
	tp.t.Helper()
	return startHelper(tp.t, tp.prefix, "authority", zones...)
}

// serveAuthority answers from master files as far as the test needs it: the
// records of a name, or the referral at the delegation above it.
func serveAuthority(ctx context.Context, args []string) error {
	var servers []*dns.Server
	failed := make(chan error, 2*len(args))
	for _, arg := range args {
		parts := strings.SplitN(arg, "=", 3)
		handler, err := readAuthority(parts[1], parts[2])
		if err != nil {
			return err
		}
		for _, network := range []string{"udp", "tcp"} {
			s := &dns.Server{Addr: parts[0], Net: network, Handler: handler}
			up := make(chan struct{})
			s.NotifyStartedFunc = func() { close(up) }
			servers = append(servers, s)
			go func() { failed <- s.ListenAndServe() }()
			select {
			case <-up:
			case err := <-failed:
				return fmt.Errorf("%s %s: %w", network, parts[0], err)
			}
		}
	}
	fmt.Println(ready)
	defer func() {
		for _, s := range servers {
			_ = s.Shutdown()
		}
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

func readAuthority(origin, file string) (dns.Handler, error) {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var records []dns.RR
	parser := dns.NewZoneParser(f, origin, file)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		records = append(records, rr)
	}
	if err := parser.Err(); err != nil {
		return nil, err
	}
	find := func(name string, rrtype uint16) (found []dns.RR) {
		for _, rr := range records {
			if strings.EqualFold(rr.Header().Name, name) && rr.Header().Rrtype == rrtype {
				found = append(found, rr)
			}
		}
		return found
	}
	return dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		asked := q.Question[0]
		for name := asked.Name; name != origin && name != "."; {
			if cut := find(name, dns.TypeNS); cut != nil {
				m.Ns = cut
				for _, ns := range cut {
					m.Extra = append(m.Extra, find(ns.(*dns.NS).Ns, dns.TypeA)...)
				}
				break
			}
			next, end := dns.NextLabel(name, 0)
			if name = name[next:]; end {
				name = "."
			}
		}
		if m.Ns == nil {
			m.Authoritative = true
			if m.Answer = find(asked.Name, asked.Qtype); m.Answer == nil {
				m.Ns = find(origin, dns.TypeSOA)
			}
		}
		_ = w.WriteMsg(m) // fails only when the client is gone
	}), nil
}
