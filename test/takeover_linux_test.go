package test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gslb/test/bed"
)

// lineage is a node, and the processes that take its place one after the other.
type lineage struct {
	t        *testing.T
	log      string // file
	pid      int    // of the present process
	api, dns string
	config   string
}

func startLineage(t *testing.T, config, dns, api string) *lineage {
	t.Helper()
	// Who takes over becomes a child of this process when its parent has ended.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	l := &lineage{t: t, log: filepath.Join(t.TempDir(), "log"), api: api, dns: dns, config: config}
	log, err := os.Create(l.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(binary(t), "serve", "-config", config)
	cmd.Stdout, cmd.Stderr = log, log
	if err := bed.StartGrouped(cmd); err != nil {
		t.Fatal(err)
	}
	l.pid = cmd.Process.Pid
	t.Cleanup(func() {
		l.signal(syscall.SIGTERM)
		if code := l.wait(l.pid); code != 0 {
			t.Errorf("exit code %d at the end", code)
		}
		if text := l.said(); t.Failed() || strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic:") {
			t.Errorf("the log:\n%s", tail(text, 200))
		}
	})
	l.ready()
	return l
}

func (l *lineage) said() string {
	text, err := os.ReadFile(l.log)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(text)
}

func (l *lineage) signal(s syscall.Signal) {
	if err := syscall.Kill(l.pid, s); err != nil {
		l.t.Errorf("signal %v: %v", s, err)
	}
}

// wait gives the exit code of a process of the line.
func (l *lineage) wait(pid int) int {
	l.t.Helper()
	code := -1
	until(l.t, patience, func() error {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		if got == pid {
			code = status.ExitStatus()
			return nil
		}
		return fmt.Errorf("process %d is still there: %v", pid, err)
	})
	return code
}

func (l *lineage) ready() {
	l.t.Helper()
	until(l.t, patience, func() error { _, err := get("http://" + l.api + "/readyz"); return err })
}

// says waits until the log says it once more than n times.
func (l *lineage) says(what string, n int) {
	l.t.Helper()
	until(l.t, patience, func() error {
		if got := strings.Count(l.said(), what); got <= n {
			return fmt.Errorf("%q was said %d times", what, got)
		}
		return nil
	})
}

var successorPID = regexp.MustCompile(`the new process serves; this one lets its connections finish" pid=(\d+)`)

// replaced has a new process take over, and gives the old one's number.
func (l *lineage) replaced() (old int) {
	l.t.Helper()
	n := len(successorPID.FindAllString(l.said(), -1))
	l.signal(syscall.SIGUSR2)
	l.says("the new process serves; this one", n)
	all := successorPID.FindAllStringSubmatch(l.said(), -1)
	old = l.pid
	l.pid, _ = strconv.Atoi(all[len(all)-1][1])
	return old
}

// lines is a TCP server that answers each line with the same line.
func lines(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return bed.Serve(t, l, func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if _, err := c.Write([]byte(line)); err != nil {
				return
			}
		}
	})
}

// exchangeLine sends a line over a connection and reads it back.
func exchangeLine(c net.Conn, line string) error {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintln(c, line); err != nil {
		return err
	}
	got := make([]byte, len(line)+1)
	for n := 0; n < len(got); {
		m, err := c.Read(got[n:])
		if n += m; err != nil {
			return err
		}
	}
	if string(got) != line+"\n" {
		return fmt.Errorf("%q came back as %q", line, got)
	}
	return nil
}

// TestTakeover: a new process takes over from one with a thousand connections.
// None of them is lost, nobody who connects or asks meanwhile goes without an
// answer, and a successor that fails changes nothing.
func TestTakeover(t *testing.T) {
	needLong(t)
	const open = 1000
	dir := t.TempDir()
	dns, api, tcp, udp := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	echo, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() { // ends with the socket
		b := make([]byte, 2048)
		for {
			n, from, err := echo.ReadFrom(b)
			if err != nil {
				return
			}
			echo.WriteTo(b[:n], from)
		}
	}()
	config := write(t, dir, "gslb.toml", fmt.Sprintf(`[node]
name = "ns1"
roles = ["dns", "balancer"]
site = "here"
data_dir = "data"
[dns]
listen = [%q]
[etcd]
listen = "127.0.0.1:0"
[api]
listen = %q
[[zone]]
name = "abc.com"
file = "abc.com.zone"
[[site]]
name = "here"
addresses = ["192.0.2.1"]
[[steer]]
name = "www.abc.com"
answer = "address"
  [[steer.rule]]
  to = ["here"]
[[frontend]]
name = "tcp"
listen = [%q]
drain_timeout = "2m"
  [[frontend.server]]
  address = %q
  [[frontend.server]]
  address = %q
[[frontend]]
name = "udp"
protocol = "udp"
listen = [%q]
drain_timeout = "10ms"
  [[frontend.server]]
  address = %q
`, dns, api, tcp, lines(t), lines(t), udp, echo.LocalAddr()))
	zone := write(t, dir, "abc.com.zone", "$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n")
	l := startLineage(t, config, dns, api)

	var held []net.Conn
	for i := range open {
		c, err := net.Dial("tcp", tcp)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
		if err := exchangeLine(c, fmt.Sprintf("connection %d", i)); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	asked := startStream(t, 2*time.Millisecond, func() (string, error) {
		m, err := exchange("udp", dns, question("www.abc.com.", 1, ""))
		if err == nil && len(m.Answer) != 1 {
			err = errors.New(m.String())
		}
		return "", err
	})
	askedTCP := startStream(t, 10*time.Millisecond, func() (string, error) {
		_, err := exchange("tcp", dns, question("www.abc.com.", 1, ""))
		return "", err
	})
	connected := startStream(t, 5*time.Millisecond, func() (string, error) {
		c, err := net.DialTimeout("tcp", tcp, answerWithin)
		if err != nil {
			return "", err
		}
		defer c.Close()
		return "", exchangeLine(c, "new")
	})
	over := func(name string, s *stream, most int) {
		t.Helper()
		failed, all := 0, s.end()
		for _, e := range all {
			if e.err != nil {
				if failed++; failed > most {
					t.Errorf("%s: %v (took %v)", name, e.err, e.took)
				}
			}
		}
		t.Logf("%s: %d tries, %d failed", name, len(all), failed)
	}
	holds := func(when string) {
		t.Helper()
		var wg sync.WaitGroup
		for i, c := range held {
			wg.Go(func() {
				if err := exchangeLine(c, when); err != nil {
					t.Errorf("connection %d %s: %v", i, when, err)
				}
			})
		}
		wg.Wait()
	}

	replace(t, zone, []byte("$TTL 300\n@ SOA ns1 hostmaster 2 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\nnew A 192.0.2.9\n"))
	old := l.replaced()
	holds("after the takeover")
	l.ready()
	n := &node{process: &process{t: t}, dns: dns}
	n.answers("new.abc.com.", 1, "new.abc.com. A 192.0.2.9")
	c, err := net.Dial("udp", udp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	until(t, patience, func() error {
		c.Write([]byte("datagram"))
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := c.Read(make([]byte, 100))
		return err
	})
	over("queries over UDP", asked, 0)
	over("queries over TCP", askedTCP, 0)
	over("connections", connected, 0)
	for _, c := range held {
		c.Close()
	}
	held = nil
	if code := l.wait(old); code != 0 {
		t.Errorf("the old process: exit code %d", code)
	}

	// Successors that fail: what is there goes on. First one that finds a fault…
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, config, append(text, "[[nonsense]]\n"...))
	l.signal(syscall.SIGUSR2)
	l.says("a new process was to take over and did not", 0)
	n.answers("new.abc.com.", 1, "new.abc.com. A 192.0.2.9")
	if status, err := get("http://" + api + "/api/v1/status"); err != nil || !strings.Contains(status, "nonsense") {
		t.Errorf("the status does not tell of it: %v, %.300s", err, status)
	}
	replace(t, config, text)

	// …then one that cannot have an address when it is to serve.
	asked = startStream(t, 2*time.Millisecond, func() (string, error) {
		_, err := exchange("udp", dns, question("www.abc.com.", 1, ""))
		return "", err
	})
	for won := false; !won; {
		taken := make(chan net.Listener, 1)
		stop := make(chan struct{})
		go func() {
			for {
				if l, err := net.Listen("tcp", api); err == nil {
					taken <- l
					return
				}
				select {
				case <-stop:
					taken <- nil
					return
				default:
				}
			}
		}()
		before := strings.Count(l.said(), "a new process was to take over and did not")
		replaced := len(successorPID.FindAllString(l.said(), -1))
		l.signal(syscall.SIGUSR2)
		until(t, patience, func() error {
			text := l.said()
			won = strings.Count(text, "a new process was to take over and did not") > before
			if won || len(successorPID.FindAllString(text, -1)) > replaced {
				return nil
			}
			return errors.New("neither taken over nor given up")
		})
		close(stop)
		if thief := <-taken; thief != nil {
			thief.Close()
		}
		if !won { // the new process was quicker: it is the one to try now
			old, all := l.pid, successorPID.FindAllStringSubmatch(l.said(), -1)
			l.pid, _ = strconv.Atoi(all[len(all)-1][1])
			l.wait(old)
		}
	}
	l.ready()
	over("queries while a successor fails", asked, 0)
	n.answers("new.abc.com.", 1, "new.abc.com. A 192.0.2.9")
	if err := func() error {
		c, err := net.Dial("tcp", tcp)
		if err != nil {
			return err
		}
		defer c.Close()
		return exchangeLine(c, "still there")
	}(); err != nil {
		t.Error(err)
	}
	l.wait(l.replaced()) // and a good one takes over again
	l.ready()
}
