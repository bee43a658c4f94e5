package dnsserver

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// onCPU runs f on a thread that stays on the CPU and ends with f.
func onCPU(t *testing.T, cpu int, f func()) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is not used again
		err := pinThread(cpu)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// What a CPU received goes to the worker on that CPU, over both transports, from
// whichever port it comes. On loopback the sender's CPU receives.
func TestSpreadByCPU(t *testing.T) {
	cpus := processCPUs()
	if len(cpus) < 2 {
		t.Skip("the process has one CPU")
	}
	if rps, err := os.ReadFile("/sys/class/net/lo/queues/rx-0/rps_cpus"); err == nil && strings.Trim(string(rps), "0,\n") != "" {
		t.Skip("the system moves loopback's packets to other CPUs (RPS)")
	}
	cpus = cpus[:2]
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		s := start(t, Config{Listen: []string{addr}, Workers: 2, Pin: "auto", Spread: spreadCPU})
		at := s.Addrs()[0].String()
		const clients = 24 // by hash, all of them reach one worker once in 2^23 times
		var loop [2]int    // that served each CPU's connections
		for turn, cpu := range cpus {
			udp, tcp := received(s)
			onCPU(t, cpu, func() {
				for range clients {
					askFrom(t, "udp", at)
					askFrom(t, "tcp", at)
				}
			})
			udpNow, tcpNow := received(s)
			if got := udpNow[turn] - udp[turn]; got != clients {
				t.Errorf("%s: of CPU %d's %d queries over UDP its worker got %d", addr, cpu, clients, got)
			}
			loop[turn] = -1
			for i := range tcpNow {
				if tcpNow[i]-tcp[i] == clients {
					loop[turn] = i
				}
			}
		}
		if loop[0] < 0 || loop[1] < 0 || loop[0] == loop[1] {
			t.Errorf("%s: TCP of the CPUs went to the loops %v, -1: to several; want one each", addr, loop)
		}
	}
}

// askFrom sends one query from a port of its own.
func askFrom(t *testing.T, network, at string) {
	c := dns.Client{Net: network, Timeout: patience}
	if _, _, err := c.Exchange(new(dns.Msg).SetQuestion("static.abc.com.", dns.TypeA), at); err != nil {
		t.Errorf("%s: %v", network, err)
	}
}

// received are the queries that each worker for UDP, and each loop for TCP, has got.
func received(s *Server) (udp, tcp [2]uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.counters[len(s.streams.counters):] // two workers, then the loops as they began
	for i, c := range all[:min(4, len(all))] {
		switch {
		case i < 2:
			udp[i] = c.queries[udp4].Load() + c.queries[udp6].Load()
		default:
			tcp[i-2] = c.queries[tcp4].Load() + c.queries[tcp6].Load()
		}
	}
	return udp, tcp
}

// A CPU that has no worker is spread by hash, and so is all where the filter names
// sockets that are not there: no query is lost by it.
func TestSpreadOtherCPU(t *testing.T) {
	cpus := processCPUs()
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, Workers: 2})
	for _, filter := range [][]int{{1023}, {1022, 1023, cpus[0]}} {
		if err := spreadByCPU(s.udp[0].sock.fd, filter); err != nil {
			t.Fatal(err)
		}
		onCPU(t, cpus[0], func() {
			for range 8 {
				askFrom(t, "udp", s.Addrs()[0].String())
			}
		})
	}
}

// The program, as it stands in socket(7) and filter.txt of the kernel.
func TestCPUFilter(t *testing.T) {
	got := cpuFilter([]int{4, 2, 4})
	const load, equal, give = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	want := []unix.SockFilter{{Code: load, K: 0xfffff024}, {Code: equal, K: 4, Jf: 1}, {Code: give, K: 0},
		{Code: equal, K: 2, Jf: 1}, {Code: give, K: 1}, {Code: give, K: 1<<32 - 1}}
	if len(got) != len(want) {
		t.Fatalf("%d instructions, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("instruction %d: %+v, want %+v", i, got[i], want[i])
		}
	}
	if n := len(cpuFilter(make([]int, maxCPU+1))); n > unix.BPF_MAXINSNS {
		t.Errorf("%d instructions: more than the system takes", n)
	}
}

// More workers than CPUs: some would get nothing.
func TestSpreadTooManyWorkers(t *testing.T) {
	_, err := Config{Pin: pinAuto, Spread: spreadCPU}.spreadCPUs(len(processCPUs())+1, processCPUs())
	if err == nil || !strings.Contains(err.Error(), "workers") {
		t.Errorf("%v", err)
	}
}
