package nft

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// sysctl reads a setting of the kernel by its name, such as net.ipv4.ip_forward.
func sysctl(name string) (int, error) {
	b, err := os.ReadFile(sysctlPath(name))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

func sysctlPath(name string) string { return "/proc/sys/" + strings.ReplaceAll(name, ".", "/") }

// forwards are the settings that have the kernel forward packets.
var forwards = map[*family]string{v4: "net.ipv4.ip_forward", v6: "net.ipv6.conf.all.forwarding"}

// forward switches forwarding on where it is off.
func forward(f *family) error {
	if n, err := sysctl(forwards[f]); err != nil || n != 0 {
		return err
	}
	return os.WriteFile(sysctlPath(forwards[f]), []byte("1"), 0)
}

// crowded is the part of the connection table from which on it is a problem.
const crowded = 0.9

// tableProblem tells if the table of connections is nearly full: then the kernel drops new ones.
func tableProblem() string {
	n, err := sysctl("net.netfilter.nf_conntrack_count")
	most, err2 := sysctl("net.netfilter.nf_conntrack_max")
	if err != nil || err2 != nil || most == 0 || float64(n) < crowded*float64(most) {
		return ""
	}
	return fmt.Sprintf("the kernel's table of connections has %d of %d entries: at the bound it drops new connections; raise net.netfilter.nf_conntrack_max (and its hash size), or see what fills it with conntrack -S", n, most)
}
