package l4bed

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Within runs f on a thread in a namespace, which ends with it. Sockets that f opens
// stay in the namespace; goroutines that it starts do not.
func Within(ns string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		fd, err := unix.Open("/var/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}
