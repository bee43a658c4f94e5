package dnsserver

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// spreadByCPU makes the sockets that share the address of fd (SO_REUSEPORT) take
// what their own CPU received: the i-th bound gets what the system handles on
// cpus[i]. It holds for all of them, also for those that are bound later.
//
// A worker that is kept on that CPU then finds the packet in its caches, and its
// answer leaves from there. What another CPU handles is spread by hash. On a
// device with several receive queues (RSS) the hash is the device's.
func spreadByCPU(fd int, cpus []int) error {
	program := cpuFilter(cpus)
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	if err != nil {
		return fmt.Errorf(`spread "cpu": %w`, err)
	}
	return nil
}

// cpuFilter is a classic BPF program that gives the place of the CPU it runs on in
// cpus. For another one it gives what no socket has, and the system takes its hash:
// socket(7) on SO_ATTACH_REUSEPORT_CBPF, and reuseport_select_sock in Linux.
func cpuFilter(cpus []int) []unix.SockFilter {
	const adOffset, adCPU = -0x1000, 36 // SKF_AD_OFF and SKF_AD_CPU of linux/filter.h
	cpu := adOffset + adCPU
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: uint32(cpu)}}
	for i, cpu := range cpus {
		if slices.Contains(cpus[:i], cpu) {
			continue
		}
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(cpu), Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(i)})
	}
	return append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1})
}
