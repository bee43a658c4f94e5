package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The pair of interfaces: both ends are called eth0, in a namespace each.
const (
	xdpServer = "198.51.100.53"
	xdpClient = "198.51.100.7"
	xdpZone   = "xdp.example."

	xdpSteered     = "steered"
	xdpSteeredName = "www." + xdpZone
)

// xdpLoad is what is asked, and in what form queries come to the interface.
type xdpLoad struct {
	title  string
	asks   string
	frames bool
}

var xdpLoads = []xdpLoad{
	{"static names, as socket buffers", "static", false},
	{"a steered name by client subnet, as socket buffers", xdpSteered, false},
	{"static names, as frames", "static", true},
	{"a steered name by client subnet, as frames", xdpSteered, true},
}

// xdpWay is one of the two ways that queries come to gslb.
type xdpWay struct {
	title, config string
	all           []series // by load
}

// benchXDP compares the answers that gslb gives for a core's time over AF_XDP
// and over its sockets, on the same pair of interfaces.
func benchXDP(ctx context.Context, o *options, dir string, progress io.Writer) (part string, plots map[string]string, err error) {
	began, machine := time.Now(), thisMachine()
	ways := []*xdpWay{{title: "sockets (recvmmsg, sendmmsg)"}, {title: "AF_XDP", config: "xdp = [\"eth0\"]\n"}}
	for _, w := range ways {
		w.all = make([]series, len(xdpLoads))
	}
	for number := range o.Repeat {
		for i := range ways {
			w := ways[(number+i)%len(ways)] // another one begins each time
			if err := w.repeat(ctx, o, dir, progress); err != nil {
				return "", nil, fmt.Errorf("%s: %w", w.title, err)
			}
		}
	}
	machine.loadAfter = loadAverage()
	return xdpPage(o, began, &machine, ways), nil, nil
}

// repeat makes the interfaces, starts the server, checks its answers with
// loadgen, and measures it.
func (w *xdpWay) repeat(ctx context.Context, o *options, dir string, progress io.Writer) (err error) {
	word := fmt.Sprintf("gslb-bench-%08x", rand.Uint32())
	server, client := word+"-s", word+"-c"
	defer func() {
		for _, ns := range []string{server, client} { // what is not there is no fault: the first error tells
			_ = exec.Command("ip", "netns", "del", ns).Run()
		}
	}()
	for _, line := range []string{
		"netns add " + server, "netns add " + client,
		"link add eth0 netns " + server + " type veth peer name eth0 netns " + client,
		"-n " + server + " addr add " + xdpServer + "/24 dev eth0", "-n " + client + " addr add " + xdpClient + "/24 dev eth0",
		"-n " + server + " link set lo up", "-n " + server + " link set eth0 up", "-n " + client + " link set eth0 up",
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s, which needs root: %w: %s", line, err, out)
		}
	}
	receiver, err := receiveOn(server, client, o.ServerCPU)
	if err != nil {
		return err
	}
	config, err := w.write(dir)
	if err != nil {
		return err
	}
	p, err := startProcess(o.ServerCPU, filepath.Dir(config), "ip", "netns", "exec", server, filepath.Join(dir, "gslb"), "serve", "-config", config)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := w.check(ctx, p, o, client, dir); err != nil {
		return err
	}
	station, err := exec.Command("ip", "netns", "exec", server, "cat", "/sys/class/net/eth0/address").Output()
	if err != nil {
		return fmt.Errorf("the server's station: %w", err)
	}
	for range o.Rounds {
		for i := range xdpLoads {
			s, err := w.slice(ctx, p, receiver, o, client, strings.TrimSpace(string(station)), &xdpLoads[i])
			if err != nil {
				return fmt.Errorf("%s: %w", xdpLoads[i].title, err)
			}
			w.all[i] = append(w.all[i], s)
			fmt.Fprintf(progress, "%-28s %-50s %8.0f answers/s %7.2f µs CPU each, server %3.0f %%, lost %.3f %%\n", w.title, xdpLoads[i].title, s.Rate, s.CPU, 100*s.Busy, 100*s.Loss)
		}
	}
	return nil
}

// receiveOn makes the kernel receive what comes to eth0 in a thread of its own
// on that core (threaded NAPI), and gives the thread. Without, what the kernel
// does with a packet from a veth pair runs on the sender's core.
func receiveOn(ns, client string, core int) (pid int, err error) {
	before := napiThreads()
	// A veth interface receives that way only what the other end does not mean to
	// segment, and what a program or receive offload is there for.
	if err := errors.Join(ethtool(client, unix.ETHTOOL_STSO, 0), ethtool(ns, unix.ETHTOOL_SGRO, 1)); err != nil {
		return 0, fmt.Errorf("offloads: %w", err)
	}
	cmd := exec.Command("ip", "netns", "exec", ns, "tee", "/sys/class/net/eth0/threaded")
	cmd.Stdin = strings.NewReader("1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("threaded NAPI: %w: %s", err, out)
	}
	for id := range napiThreads() {
		if !before[id] {
			var set unix.CPUSet
			set.Set(core)
			// It runs as urgently as this process and the server do ("nice bench").
			own, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
			if err == nil {
				err = unix.Setpriority(unix.PRIO_PROCESS, id, 20-own) // the call gives 20 - nice: getpriority(2)
			}
			return id, errors.Join(err, unix.SchedSetaffinity(id, &set))
		}
	}
	return 0, errors.New("threaded NAPI: the kernel has no thread for eth0")
}

// ethtool sets one thing of eth0 (linux/ethtool.h, struct ethtool_value).
func ethtool(ns string, command, value uint32) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, in the namespace now, ends with it
		done <- func() error {
			fd, err := unix.Open("/var/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
				return err
			}
			s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(s)
			set := struct{ cmd, data uint32 }{command, value}
			var r struct { // struct ifreq of netdevice(7)
				name [unix.IFNAMSIZ]byte
				data unsafe.Pointer
				_    [16]byte
			}
			copy(r.name[:], "eth0")
			r.data = unsafe.Pointer(&set)
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))); errno != 0 {
				return errno
			}
			return nil
		}()
	}()
	return <-done
}

// napiThreads are the kernel's threads that receive for an interface called eth0.
func napiThreads() map[int]bool {
	all := make(map[int]bool)
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, file := range names {
		if text, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(text), "napi/eth0-") {
			id, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			all[id] = true
		}
	}
	return all
}

// write writes the server's files.
func (w *xdpWay) write(dir string) (config string, err error) {
	if dir, err = os.MkdirTemp(dir, "xdp"); err != nil {
		return "", err
	}
	var zone strings.Builder
	zone.WriteString("$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A 198.51.100.53\n")
	for i := range frameNames {
		fmt.Fprintf(&zone, "%s A 192.0.2.%d\n", frameName(i), i)
	}
	text := fmt.Sprintf(`[node]
name = "bench"
roles = ["dns"]
data_dir = "data"

[dns]
listen = ["%s:53"]
workers = 1
%s
[etcd]
listen = "127.0.0.1:0"

[api]
listen = "off"

[[zone]]
name = %q
file = "zone"

[[site]]
name = "low"
addresses = ["192.0.2.201"]

[[site]]
name = "high"
addresses = ["192.0.2.202"]

[[steer]]
name = %q
answer = "address"
ttl = "60s"
  [[steer.rule]]
  network = ["0.0.0.0/2"]
  to = ["low", "high"]
  [[steer.rule]]
  to = ["high", "low"]
`, xdpServer, w.config, xdpZone, xdpSteeredName)
	config = filepath.Join(dir, "gslb.toml")
	return config, errors.Join(os.WriteFile(config, []byte(text), 0o644), os.WriteFile(filepath.Join(dir, "zone"), []byte(zone.String()), 0o644))
}

// check waits until the server serves in its way, and has loadgen look at each
// of some thousand answers.
func (w *xdpWay) check(ctx context.Context, p *process, o *options, client, dir string) error {
	const serves = "AF_XDP takes queries"
	for deadline := time.Now().Add(30 * time.Second); ; {
		text, _ := os.ReadFile(p.log)
		if bytes.Contains(text, []byte("serving DNS")) && (w.config == "" || bytes.Contains(text, []byte(serves))) {
			break
		}
		if p.ended() || time.Now().After(deadline) || ctx.Err() != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("the server does not serve: %s", p.lastWords()))
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, args := range []string{
		"-name " + strings.TrimSuffix(frameName(7), ".") + ` -match \s192\.0\.2\.7$`,
		"-name " + strings.TrimSuffix(xdpSteeredName, ".") + ` -ecs random4 -match \s192\.0\.2\.20[12]$`,
	} {
		argv := append([]string{"netns", "exec", client, loadgen(dir), "-server", xdpServer + ":53", "-duration", "300ms", "-check", "-answers", "1", "-max-loss", "0"}, strings.Fields(args)...)
		if out, err := exec.CommandContext(ctx, "ip", argv...).CombinedOutput(); err != nil {
			return fmt.Errorf("wrong or lost answers: %w: %s", err, out)
		}
	}
	return nil
}

// slice is one measurement.
func (w *xdpWay) slice(ctx context.Context, p *process, receiver int, o *options, client, station string, load *xdpLoad) (got sample, err error) {
	self, err := os.Executable()
	if err != nil {
		return got, err
	}
	usage := func() (time.Duration, error) {
		t, err := p.cpuTime()
		return t + processCPU(receiver) + softirqTime(o.ServerCPU), err
	}
	before, err := usage()
	if err != nil {
		return got, err
	}
	args := []string{"netns", "exec", client, self, blastCommand, xdpServer + ":53", "eth0", o.duration().String(), load.asks}
	if load.frames {
		args = append(args, station)
	}
	cmd := exec.Command("ip", args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := startOn(o.LoadCPU, cmd); err != nil {
		return got, err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	failed := cmd.Wait()
	stop()
	after, err := usage()
	if err := errors.Join(ctx.Err(), failed, err); err != nil {
		return got, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var r blasted
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		return got, err
	}
	if r.Answers == 0 || r.Other > 0 {
		return got, fmt.Errorf("%d answers, and %d that are wrong", r.Answers, r.Other)
	}
	cpu := (after - before).Seconds()
	return sample{
		Rate: float64(r.Answers) / r.Seconds, Loss: max(0, 1-float64(r.Answers)/float64(r.Sent)), // some of the last ones are under way
		CPU: 1e6 * cpu / float64(r.Answers), Busy: cpu / r.Seconds,
	}, nil
}

func xdpPage(o *options, began time.Time, m *machine, ways []*xdpWay) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## AF_XDP\n\n```sh\n%s\n```\n\n", o.commandLine())
	b.WriteString(conditions(began, m, nil, nil))
	b.WriteString("| queries | gslb's way to the wire | answers/s | CPU µs/answer | middle half | core in use | lost % | answers for a core's time | middle half |\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for i := range xdpLoads {
		for n, w := range ways {
			all := w.all[i].median()
			cpu := w.all[i].figure(cpuPerAnswer)
			gain := spread{1, 1, 1, 1, 1}
			if n > 0 {
				gain, _ = ways[0].all[i].ratio(w.all[i])
			}
			fmt.Fprintf(&b, "| %s | %s | %.0f | %.2f | %.2f to %.2f | %.0f %% | %.3f | **%.2f** | %.2f to %.2f |\n", xdpLoads[i].title, w.title, all.Rate,
				cpu.median, cpu.low, cpu.high, 100*all.Busy, 100*all.Loss, gain.median, gain.low, gain.high)
		}
	}
	fmt.Fprintf(&b, `
The aim is at least 1.7 times the answers for a core's time.

- *As socket buffers*: a socket at the other end sends the queries. The veth pair hands on the buffers themselves, which a socket takes as they are; for AF_XDP each is copied into
  a frame first, which no driver of a card has to do.
- *As frames*: the kernel makes the queries in the form in which the driver of a network card hands them on (XDP frames, by BPF_PROG_RUN in live frame mode), checksums and all. For a
  socket, each must be made a socket buffer, as every driver does. They come in smaller batches, and too slowly to keep the core busy (*core in use*): sleeping and waking
  take a good part of the CPU time then. The aim is for a core that is busy.
- gslb, with one worker, is pinned to core %d in a network namespace; a veth pair joins it to the generator's, on core %d. What the kernel does with a packet from a veth
  pair runs on the sender's core; here a thread of the kernel's (threaded NAPI) on gslb's core does it, as for a network card, so that this core bears all that a query costs
  its server. The generator takes no answers: a program at its end of the pair (TCX) counts and drops them, since that, too, runs on the sender's core, gslb's. It keeps %d queries
  outstanding, so that the server always has work and loses none.
- CPU is that of the server's process, of that thread, and of the kernel's packet thread of the core. Only answers with NOERROR and a record count; loadgen has looked at some
  thousand whole ones before. Static names are %d; the steered name is asked with a client subnet of 254, for two sites, by network.
- %d starts of each way, in turn, with %d slices of %v s for each line; the ratio is taken slice by slice, and is a median. A veth pair cannot do zero-copy: each frame is copied once each way.
`, o.ServerCPU, o.LoadCPU, blastWindow, frameNames, o.Repeat, o.Rounds, o.Seconds)
	return b.String()
}
