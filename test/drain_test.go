package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"gslb/health"
)

// user is a client on an address of its own, which keeps an answer for as long as its
// TTL says, or, to overstay, for ever once it names kt, and connects again and again.
type user struct {
	n        *node
	from     net.IP
	overstay bool
	stop     chan struct{}
	done     sync.WaitGroup

	mu     sync.Mutex
	kt     int       // connections to kt
	lastKT time.Time // when the newest of them was begun
	other  int
}

func (n *node) startUser(from string, overstay bool) *user {
	u := &user{n: n, from: net.ParseIP(from), overstay: overstay, stop: make(chan struct{})}
	u.done.Go(u.run)
	n.t.Cleanup(u.end)
	return u
}

func (u *user) end() {
	select {
	case <-u.stop:
	default:
		close(u.stop)
	}
	u.done.Wait()
}

func (u *user) run() {
	site, expires := "", time.Time{}
	for {
		if site == "" || !(u.overstay && site == "kt") && time.Now().After(expires) {
			m, err := exchange("udp", u.n.dns, question("www.abc.com.", 1, u.from.String()+"/32"))
			if err == nil && len(m.Answer) > 0 {
				site, expires = siteOf(m), time.Now().Add(time.Duration(m.Answer[0].Header().Ttl)*time.Second)
			}
		}
		if began := time.Now(); site != "" && u.connect(site) {
			u.mu.Lock()
			if site == "kt" {
				u.kt, u.lastKT = u.kt+1, began
			} else {
				u.other++
			}
			u.mu.Unlock()
		}
		select {
		case <-u.stop:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// dial connects to the site from the user's address.
func (u *user) dial(site string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: u.from}, Timeout: answerWithin}
	return d.Dial("tcp", net.JoinHostPort(siteNamed(u.n.t, site).address, fmt.Sprint(u.n.tp.port)))
}

func (u *user) connect(site string) bool {
	c, err := u.dial(site)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(answerWithin))
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, c)
	return err == nil
}

func (u *user) count() (kt int, last time.Time, other int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.kt, u.lastKT, u.other
}

// waitKT waits until the user has been at kt.
func (u *user) waitKT() {
	u.n.t.Helper()
	until(u.n.t, patience, func() error {
		if kt, _, _ := u.count(); kt == 0 {
			return fmt.Errorf("%v has not been at kt", u.from)
		}
		return nil
	})
}

// steps are the lines of JSON that drain -wait has printed.
func steps(t testing.TB, out string) (all []health.DrainProgress) {
	t.Helper()
	for line := range strings.Lines(out) {
		var p health.DrainProgress
		if !strings.HasSuffix(line, "\n") {
			break // not whole yet
		}
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("drain -json printed %q: %v", line, err)
		}
		all = append(all, p)
	}
	return all
}

// TestDrainWait: drain -wait follows the users of a site until it is empty: those that
// heed TTLs, one that does not, and one whose connection stays; and it tells who they are.
func TestDrainWait(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	const quiet = 5 * time.Second // longer than a user stands still on a busy machine
	tp.shared = `
[drain]
quiet = "5s"
long = "1s"
ignore = ["127.0.0.1/32"]

[[geo.override]]
networks = ["127.0.77.0/24"]
place = { country = "KR", isp = "KT" }

[[geo.override]]
networks = ["127.0.78.0/24"]
place = { country = "KR", isp = "KT", city = "Sejong" }

[[geo.override]]
networks = ["127.0.79.0/24"]
place = { country = "JP", isp = "KT" }
`
	n := tp.startDNSNode()
	tp.startPlainSites("lgu", "cn")
	kt := tp.startSite("kt")
	n.waitUp("kt", "lgu", "cn")
	kt.waitService("kt-server1", "kt-server2")

	heeds, overstays := n.startUser("127.0.77.1", false), n.startUser("127.0.78.1", true)
	heeds.waitKT()
	overstays.waitKT()
	stays, err := (&user{n: n, from: net.IPv4(127, 0, 79, 1)}).dial("kt")
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()

	wait := start(t, "drain", nil, binary(t), "drain", "kt", "--api", n.api, "--wait", "--json", "--why", "new rack")
	wait.says(`"overstay":true`) // no cache that heeds TTLs has it, and still somebody comes
	until(t, patience, func() error {
		if _, _, other := heeds.count(); other == 0 {
			return fmt.Errorf("who heeds TTLs has been at no other site")
		}
		return nil
	})
	if r := run(t, patience, binary(t), "drain", "kt", "--api", n.api, "--wait", "--timeout", "1s"); r.code != 3 || !strings.Contains(r.err, "not empty") {
		t.Errorf("in vain: exit code %d and %q, want 3", r.code, r.err)
	}
	until(t, patience, func() error {
		out := must(t, binary(t), "status", "--api", n.api)
		for _, want := range []string{"SITES THAT EMPTY", "from KT, KR", "127.0.78.0/24", "open for", "127.0.79.1 (KT, JP)"} {
			if !strings.Contains(out, want) {
				return fmt.Errorf("status does not tell %q:\n%s", want, out)
			}
		}
		return nil
	})
	if body, err := get("http://" + n.api + "/metrics"); err != nil || !strings.Contains(body, `gslb_site_drain_safe{site="kt"} 0`) || !strings.Contains(body, `gslb_site_drain_connections{site="kt"}`) {
		t.Errorf("metrics do not tell of the drain (%v)", err)
	}
	overstays.end()
	select {
	case <-wait.done:
	case <-time.After(patience):
		t.Fatalf("drain -wait does not end:\n%s", wait.log.String())
	}
	ended := time.Now()
	_, last, _ := overstays.count()
	if ended.Sub(last) < quiet {
		t.Errorf("it says that it is safe %v after the last connection, want %v", ended.Sub(last), quiet)
	}
	all := steps(t, wait.log.String())
	end := all[len(all)-1]
	if !end.Safe || end.Prediction || !end.Gone || end.Clients.Open != 1 || end.Clients.Long != 1 || !strings.Contains(end.Text, "safe to power off") {
		t.Errorf("the last step: %+v", end)
	}
	if len(end.Clients.Oldest) != 1 || end.Clients.Oldest[0].Client != "127.0.79.1" || end.Clients.Oldest[0].Country != "JP" {
		t.Errorf("the connection that stays: %+v", end.Clients.Oldest)
	}
	for i, p := range all {
		if p.Safe && i < len(all)-1 {
			t.Errorf("it goes on after it was safe: %+v", p)
		}
	}

	t.Run("taken back", func(t *testing.T) {
		wait := start(t, "wait", nil, binary(t), "drain", "kt", "--api", n.api, "--wait", "--quiet", "1h")
		wait.killed = true // it has to end with exit code 1
		wait.says(" kt: ")
		n.override("undrain", "kt")
		select {
		case <-wait.done:
		case <-time.After(patience):
			t.Fatal("drain -wait goes on when the drain was taken back")
		}
		if code := wait.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(wait.log.String(), "does not drain any more") {
			t.Errorf("exit code %d and %q", code, wait.log.String())
		}
	})
	t.Run("without a balancer", func(t *testing.T) {
		r := run(t, patience, binary(t), "drain", "lgu", "--api", n.api, "--wait", "--timeout", "50s", "--why", "power")
		if r.code != 0 || !strings.Contains(r.out, "this is a prediction") {
			t.Errorf("exit code %d: %s%s", r.code, r.out, r.err)
		}
	})
}
