package bed

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// What a file system in memory must have free, and the machine too: each member of etcd takes
// an eighth of a gigabyte for its log, and several tests run at a time.
const (
	folderFree  = 6 << 30
	machineFree = 8 << 30
)

// Memory gives a folder in memory that has much room, "" where there is none. A sync to disk, of which etcd
// and all that must outlive a crash make many, takes no time there: on a busy disk one can take
// seconds, and etcd then loses its leader. What kill -9 leaves is the same; no test cuts the power.
func Memory() string {
	const dir = "/dev/shm"
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil || fs.Type != unix.TMPFS_MAGIC || fs.Flags&unix.ST_NOEXEC != 0 || unix.Access(dir, unix.W_OK) != nil {
		return ""
	}
	if fs.Bavail*uint64(fs.Bsize) < folderFree || available() < machineFree {
		return ""
	}
	return dir
}

// available is how many octets of memory programs can still have; proc(5).
func available() (octets uint64) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &octets); n == 1 {
			return octets << 10
		}
	}
	return 0
}
