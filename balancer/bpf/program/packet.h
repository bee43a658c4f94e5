// Packets by themselves: where they are, verdicts, headers and their checksums.
// Everything is inlined into both programs; xdp tells which one, and is a constant.
#pragma once

#include "maps.h"
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#define inline_ static __always_inline

// Either family's: an MTU in the last 16 bits of rest is one in all 32 (RFC 1191, RFC 4443).
struct icmp {
	__u8 type, code;
	__u16 sum;
	__be32 rest;
};

enum icmp4_type { // linux/icmp.h wants all of the C library
	ECHO_REPLY = 0,
	UNREACHABLE = 3,
	ECHO_REQUEST = 8,
	TIME_EXCEEDED = 11,
	PARAMETER_PROBLEM = 12,
	FRAGMENTATION_NEEDED = 4, // a code
};

enum icmp6_type {
	UNREACHABLE6 = 1,
	PACKET_TOO_BIG = 2,
	PARAMETER_PROBLEM6 = 4,
	ECHO_REQUEST6 = 128,
	ECHO_REPLY6 = 129,
};

#define TCX_NEXT -1 // enum tcx_action_base, of kernels newer than the headers need be
#define TCX_DROP 2

#define IP4_FRAGMENT 0x1fff // offset, in host order
#define IP4_MORE 0x2000
#define IP4_DF 0x4000
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define HEADERS 192 // of an skb that are made readable

inline_ void *start_of(void *ctx, const bool xdp)
{
	return xdp ? (void *)(long)((struct xdp_md *)ctx)->data : (void *)(long)((struct __sk_buff *)ctx)->data;
}

inline_ void *end_of(void *ctx, const bool xdp)
{
	return xdp ? (void *)(long)((struct xdp_md *)ctx)->data_end : (void *)(long)((struct __sk_buff *)ctx)->data_end;
}

inline_ int pass(const bool xdp) { return xdp ? XDP_PASS : TCX_NEXT; }
inline_ int drop(const bool xdp) { return xdp ? XDP_DROP : TCX_DROP; }

inline_ int lost(const bool xdp, __u32 why)
{
	note(why);
	return drop(xdp);
}

// send makes the frame leave through an interface.
inline_ int send(const bool xdp, __u32 through)
{
	if (xdp && through == link)
		return XDP_TX;
	return bpf_redirect(through, 0);
}

inline_ void copy_station(__u8 *to, const __u8 *from)
{
	*(__u16 *)to = *(const __u16 *)from;
	*(__u16 *)(to + 2) = *(const __u16 *)(from + 2);
	*(__u16 *)(to + 4) = *(const __u16 *)(from + 4);
}

inline_ bool same_station(const __u8 *a, const volatile __u8 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4] && a[5] == b[5];
}

// turn_round readdresses a frame to where it came from.
inline_ void turn_round(struct ethhdr *eth)
{
	__u8 to[6];
	copy_station(to, eth->h_source);
	copy_station(eth->h_source, eth->h_dest);
	copy_station(eth->h_dest, to);
}

inline_ bool same_address(const struct address *a, const struct address *b)
{
	return a->d[0] == b->d[0] && a->d[1] == b->d[1];
}

inline_ void from4(struct address *a, __be32 ip)
{
	a->d[0] = 0;
	a->d[1] = (__u64)ip << 32 | bpf_htonl(0xffff); // little-endian
}

inline_ void from6(struct address *a, const struct in6_addr *ip)
{
	const __u32 *w = (const __u32 *)ip;
	a->d[0] = w[0] | (__u64)w[1] << 32;
	a->d[1] = w[2] | (__u64)w[3] << 32;
}

inline_ __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

// resum is the checksum after one 16-bit word changed (RFC 1624, equation 3).
inline_ __u16 resum(__u16 sum, __u16 was, __u16 is)
{
	return ~fold((__u64)(__u16)~sum + (__u16)~was + is);
}

inline_ void set_ttl(struct iphdr *ip, __u8 ttl)
{
	__u16 was = *(__u16 *)&ip->ttl;
	ip->ttl = ttl;
	ip->check = resum(ip->check, was, *(__u16 *)&ip->ttl);
}

// sum4 is the checksum of a header without options whose field for it is 0.
inline_ __u16 sum4(const struct iphdr *ip)
{
	const __u16 *w = (const __u16 *)ip;
	__u64 sum = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += w[i];
	return ~fold(sum);
}
