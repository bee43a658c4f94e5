// What the program and the daemon share: layout.go has the same structures.
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#define MOST_VIPS 4096
#define MOST_SERVERS 4096
#define MOST_NETWORKS (1 << 18)
#define SLOTS 65537 // of a Maglev table: prime, and 2^16 + 1 (hash.h)

// An address in network order; IPv4 as ::ffff:a.b.c.d.
struct address {
	union {
		__u32 w[4];
		__u64 d[2];
	};
};

// Keys are written in words as wide as those that the kernel's hash reads: what is put
// together of narrower ones cannot be taken from the store buffer, which costs some 5 ns each.

struct vip_key {
	struct address address;
	__u32 service; // service_of; 0: the entry that says that the address has any at all
	__u32 pad;
};

// service_of is a port in network order, and behind it the protocol.
static __always_inline __u32 service_of(__be16 port, __u8 protocol)
{
	return port | (__u32)protocol << 16;
}

enum vip_flags {
	WHOLE = 1,   // hash by both ends with their ports, not by the client's address alone
	GUARDED = 2, // not everybody may have a new flow: guards has more
};

struct vip {
	__u64 start;  // of the flow's hash: the key, and for IPv4 the half of the address that is always 0 mixed in
	__u32 number; // what flows are remembered under: never used again for another VIP
	__u32 index;  // in vip_counts
	__u32 table;  // index in tables
	__u16 flags;
	__u16 idle; // after which a UDP flow is a new one, in units of 2^30 ns
};

enum state {
	DOWN = 0,     // no flows: those that it has go elsewhere with their next packet
	UP = 1,       // new flows and old
	DRAINING = 2, // old flows only
};

enum forward {
	LAYER2 = 0, // the frame is readdressed
	IPIP = 1,   // IPv4 or IPv6 in either: RFC 2003, RFC 2473, RFC 4213
	GUE = 2,    // the same in UDP: draft-ietf-intarea-gue, variant 1
};

struct server {
	__u32 serial;     // never used again: a flow of another that had this place is no flow of this one
	__u32 link;       // interface that it is behind
	__u8 station[6];  // Ethernet address of the next hop
	__u8 source[6];   // of that interface
	__u16 mtu;        // of that interface
	__u8 state;       // enum state
	__u8 forward;     // enum forward
	__u8 v6;          // the outer header's family
	__u8 resolved;    // station is known
	__be16 port;      // of GUE
	__u32 pad;
	__u64 pool;       // whose it is: the daemon's
	struct address to;   // where the outer header goes
	struct address from; // and comes from
};

struct flow4 {
	__be32 client;
	__u32 port; // in network order
	__u32 vip;  // its number
};

struct flow6 {
	struct address client;
	__u32 port;
	__u32 vip;
};

struct remembered {
	__u32 server; // index
	__u32 serial;
	__u32 seen;  // CLOCK_MONOTONIC in units of 2^30 ns
	__u32 ended; // a FIN or RST went by
};

struct fragment_key {
	struct address from, to;
	__u32 id;
	__u32 protocol;
};

struct fragment_of {
	__u32 server;
	__u32 serial;
};

struct counts {
	__u64 packets;
	__u64 bytes; // of IP
	__u64 flows; // new ones
};

// What became of packets for a VIP, beside being forwarded. The order is that of Reasons in counters.go.
enum reason {
	NO_SERVER,     // passed, so that the network stack refuses: none is up
	UNRESOLVED,    // dropped: the next hop's Ethernet address is not known
	EXPIRED,       // dropped: TTL or hop limit
	TOO_BIG,       // answered: does not fit with the outer header
	TOO_BIG_LOST,  // dropped: does not fit, and cannot be answered
	ECHO,          // answered: echo request
	ERRORS,        // forwarded: ICMP errors about a flow
	FRAGMENTS,     // forwarded: fragments after the first
	FRAGMENT_LOST, // dropped: fragment of which the first has not been seen
	MALFORMED,     // passed: headers that do not fit in the packet, or together
	UNREMEMBERED,  // forwarded by the hash alone: too many new flows
	MOVED,         // forwarded: flows whose server is down or gone
	REASONS,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MOST_VIPS * 2);
	__type(key, struct vip_key);
	__type(value, struct vip);
} vips SEC(".maps");

// A whole table is one value, so that one call replaces it.
struct table {
	__u16 server[SLOTS];
};

struct table_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct table));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MOST_VIPS);
	__type(key, __u32);
	__array(values, struct table_map);
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MOST_SERVERS);
	__type(key, __u32);
	__type(value, struct server);
} servers SEC(".maps");

// Flows of which two packets came. The daemon sets the sizes of these and the next.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 18);
	__type(key, struct flow4);
	__type(value, struct remembered);
} flows4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 17);
	__type(key, struct flow6);
	__type(value, struct remembered);
} flows6 SEC(".maps");

// Flows of which one came: a flood of them pushes out one another alone.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct flow4);
	__type(value, struct remembered);
} new4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct flow6);
	__type(value, struct remembered);
} new6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 14);
	__type(key, struct fragment_key);
	__type(value, struct fragment_of);
} fragments SEC(".maps");

// Who may have new flows of a VIP, by its index.
struct guard {
	__u64 step;  // that a new flow takes of its client network's time, in ns; 0: no bound
	__u64 burst; // how much of it a network may have taken in advance
	__u64 mask;  // of the first half of an IPv6 address, or of an IPv4 address: the network's bits
	__u32 list;  // in networks; 0: everybody may
	__u32 bound; // which buckets are those of this bound
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MOST_VIPS);
	__type(key, __u32);
	__type(value, struct guard);
} guards SEC(".maps");

// All lists, each under its number: the longest network decides.
struct network {
	__u32 length; // in bits, of list and address
	__u32 list;
	struct address address;
};

enum standing {
	ALLOWED = 1,
	EXEMPT = 2, // from the bound
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MOST_NETWORKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct network);
	__type(value, __u32);
} networks SEC(".maps");

// The client networks of each bound, and up to when each has taken its time, by
// CLOCK_MONOTONIC in ns. Those that came longest ago are forgotten for new ones.
struct bucket {
	__u64 network;
	__u64 bound;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct bucket);
	__type(value, __u64);
} buckets SEC(".maps");

// New flows that a VIP's guard has refused.
struct refused {
	__u64 denied;
	__u64 over_rate;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MOST_VIPS);
	__type(key, __u32);
	__type(value, struct refused);
} refused SEC(".maps");

// The new flows of this unit of time, on each CPU.
struct rate {
	__u32 now;
	__u32 flows;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rate);
} rates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MOST_VIPS);
	__type(key, __u32);
	__type(value, struct counts);
} vip_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MOST_SERVERS);
	__type(key, __u32);
	__type(value, struct counts);
} server_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

// Constants that the daemon sets for each interface before it loads the program.
volatile const __u8 station[6];      // frames for another one are somebody else's
volatile const __u32 link;           // the interface
volatile const bool generic;         // XDP runs on what the network stack may have put together: lengths say nothing
volatile const __u32 new_flows_most; // remembered in 2^30 ns, on each CPU

static __always_inline void note(__u32 reason)
{
	__u64 *n = bpf_map_lookup_elem(&reasons, &reason);
	if (n)
		++*n;
}

static __always_inline void count(void *map, __u32 index, __u32 bytes, int flows)
{
	struct counts *c = bpf_map_lookup_elem(map, &index);
	if (c) {
		c->packets++;
		c->bytes += bytes;
		c->flows += flows;
	}
}
