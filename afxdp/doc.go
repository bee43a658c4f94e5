// Package afxdp takes UDP queries from a network interface's driver, and gives
// it the answers, past the kernel's network stack: AF_XDP sockets, one for each
// receive queue of the interface (kernel: Documentation/networking/af_xdp.rst).
//
// It owns the XDP program that chooses the frames, the rings and the memory that
// frames lie in, the reading and writing of Ethernet, IP and UDP headers, and
// the watch over the interface. It knows nothing of what the queries mean but
// that they are DNS queries (RFC 1035, section 4.1.1): a Handler answers them.
//
// Invariants:
//   - What is not surely ours stays with the kernel: the program passes every
//     frame that is not an unfragmented UDP query, of opcode QUERY, to a served
//     local address and port, without VLAN tag, IP options or extension headers.
//     So do the sockets of the system when a queue has none of ours.
//   - Program and sockets hang on file descriptors of this process: whatever
//     ends it, the kernel has all frames back.
//   - Each frame of the memory is in one place: the fill ring, the receive ring,
//     the transmit ring, the completion ring, or in the hands of the queue's
//     goroutine. Each ring has room for all of them, so none overflows.
//   - Between a query and its answer nothing is allocated, locked or logged.
package afxdp
