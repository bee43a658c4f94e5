// The answer to a packet that does not fit: ICMP "fragmentation needed" (RFC 1191)
// and ICMPv6 "packet too big" (RFC 8201), from the VIP.
#pragma once

#include "packet.h"

// Octets of the packet that are quoted: the longest header and 8 more (RFC 792);
// with IPv6 some extension headers, and more is allowed (RFC 4443, section 2.4 c).
#define QUOTE4 68
#define QUOTE6 112

// make_room cuts the frame to keep octets after the Ethernet header, and puts
// room in front, behind a copy of that header which is turned round.
inline_ struct ethhdr *make_room(void *ctx, const bool xdp, int room, int keep)
{
	struct ethhdr *eth = start_of(ctx, xdp), copy;
	void *end = end_of(ctx, xdp);
	if ((void *)(eth + 1) + keep > end)
		return NULL;
	__builtin_memcpy(&copy, eth, sizeof(copy));
	int whole = sizeof(*eth) + keep;
	if (xdp) {
		int length = end - (void *)eth;
		if (bpf_xdp_adjust_tail(ctx, whole - length) || bpf_xdp_adjust_head(ctx, -room))
			return NULL;
	} else if (bpf_skb_change_tail(ctx, whole, 0) || bpf_skb_change_head(ctx, room, 0)) {
		return NULL;
	}
	eth = start_of(ctx, xdp);
	if ((void *)(eth + 1) + room + keep > end_of(ctx, xdp))
		return NULL;
	__builtin_memcpy(eth, &copy, sizeof(copy));
	turn_round(eth);
	return eth;
}

inline_ int too_big4(void *ctx, const bool xdp, __u16 mtu)
{
	const int room = sizeof(struct iphdr) + sizeof(struct icmp);
	struct ethhdr *eth = make_room(ctx, xdp, room, QUOTE4);
	if (!eth)
		return lost(xdp, TOO_BIG_LOST);
	struct iphdr *ip = (void *)(eth + 1);
	struct icmp *icmp = (void *)(ip + 1);
	struct iphdr *about = (void *)(icmp + 1);
	if ((void *)about + QUOTE4 > end_of(ctx, xdp))
		return drop(xdp);
	*(__u8 *)ip = 0x45;
	ip->tos = 0xc0; // RFC 1812, section 4.3.2.5: internetwork control
	ip->tot_len = bpf_htons(room + QUOTE4);
	ip->id = 0;
	ip->frag_off = bpf_htons(IP4_DF);
	ip->ttl = 64;
	ip->protocol = IPPROTO_ICMP;
	ip->check = 0;
	ip->saddr = about->daddr;
	ip->daddr = about->saddr;
	ip->check = sum4(ip);
	icmp->type = UNREACHABLE;
	icmp->code = FRAGMENTATION_NEEDED;
	icmp->sum = 0;
	icmp->rest = bpf_htonl(mtu);
	icmp->sum = ~fold(bpf_csum_diff(NULL, 0, (void *)icmp, sizeof(*icmp) + QUOTE4, 0));
	note(TOO_BIG);
	return send(xdp, link);
}

inline_ int too_big6(void *ctx, const bool xdp, __u16 mtu)
{
	const int room = sizeof(struct ipv6hdr) + sizeof(struct icmp), length = sizeof(struct icmp) + QUOTE6;
	struct ethhdr *eth = make_room(ctx, xdp, room, QUOTE6);
	if (!eth)
		return lost(xdp, TOO_BIG_LOST);
	struct ipv6hdr *ip = (void *)(eth + 1);
	struct icmp *icmp = (void *)(ip + 1);
	struct ipv6hdr *about = (void *)(icmp + 1);
	if ((void *)about + QUOTE6 > end_of(ctx, xdp))
		return drop(xdp);
	*(__be32 *)ip = bpf_htonl(6 << 28);
	ip->payload_len = bpf_htons(length);
	ip->nexthdr = IPPROTO_ICMPV6;
	ip->hop_limit = 64;
	ip->saddr = about->daddr;
	ip->daddr = about->saddr;
	icmp->type = PACKET_TOO_BIG;
	icmp->code = 0;
	icmp->sum = 0;
	icmp->rest = bpf_htonl(mtu);
	// RFC 8200, section 8.1: the addresses, length and protocol count, too.
	__u64 sum = bpf_csum_diff(NULL, 0, (void *)&ip->saddr, 2 * sizeof(ip->saddr), bpf_htonl(length + IPPROTO_ICMPV6));
	icmp->sum = ~fold(bpf_csum_diff(NULL, 0, (void *)icmp, length, sum));
	note(TOO_BIG);
	return send(xdp, link);
}
