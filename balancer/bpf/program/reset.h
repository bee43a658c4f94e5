// The answer to a SYN that is refused: a reset (RFC 9293, section 3.5.2, group 1), from the VIP.
#pragma once

#include "packet.h"

#define LEAST_FRAME 60 // of Ethernet, without its checksum

inline_ int reset(void *ctx, const bool xdp, const bool v6)
{
	const int header = v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	const int whole = sizeof(struct ethhdr) + header + sizeof(struct tcphdr), keep = whole < LEAST_FRAME ? LEAST_FRAME : whole;
	struct ethhdr *eth = start_of(ctx, xdp);
	if ((void *)eth + whole > end_of(ctx, xdp))
		return drop(xdp);
	struct iphdr *ip4 = (void *)(eth + 1);
	struct ipv6hdr *ip6 = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(eth + 1) + header;
	if (v6 ? ip6->nexthdr != IPPROTO_TCP : *(__u8 *)ip4 != 0x45) // other headers are between
		return drop(xdp);
	// What comes from this machine may have the sum of the pseudo-header alone, and so be sent on: whoever puts it on a
	// wire adds the rest. Both ways of the connection have the same addresses.
	void *addresses = v6 ? (void *)&ip6->saddr : (void *)&ip4->saddr;
	const int size = v6 ? 32 : 8;
	__u32 length = v6 ? bpf_ntohs(ip6->payload_len) : bpf_ntohs(ip4->tot_len) - header;
	bool partial = !xdp && tcp->check == fold(bpf_csum_diff(NULL, 0, addresses, size, bpf_htonl(length + IPPROTO_TCP)));
	int there = xdp ? end_of(ctx, xdp) - (void *)eth : ((struct __sk_buff *)ctx)->len;
	if (there > keep && (xdp ? bpf_xdp_adjust_tail(ctx, keep - there) : bpf_skb_change_tail(ctx, keep, 0)))
		return drop(xdp);
	eth = start_of(ctx, xdp);
	if ((void *)eth + whole > end_of(ctx, xdp))
		return drop(xdp);
	if (there > keep && keep > whole) {
		if ((void *)eth + keep > end_of(ctx, xdp))
			return drop(xdp);
		__builtin_memset((void *)eth + whole, 0, keep - whole);
	}
	turn_round(eth);
	ip4 = (void *)(eth + 1);
	ip6 = (void *)(eth + 1);
	tcp = (void *)(eth + 1) + header;
	if (v6) {
		struct in6_addr from = ip6->daddr;
		ip6->daddr = ip6->saddr;
		ip6->saddr = from;
		*(__be32 *)ip6 = bpf_htonl(6 << 28);
		ip6->payload_len = bpf_htons(sizeof(*tcp));
		ip6->hop_limit = 64;
		addresses = &ip6->saddr;
	} else {
		__be32 from = ip4->daddr;
		ip4->daddr = ip4->saddr;
		ip4->saddr = from;
		ip4->tos = 0;
		ip4->tot_len = bpf_htons(sizeof(*ip4) + sizeof(*tcp));
		ip4->id = 0;
		ip4->frag_off = bpf_htons(IP4_DF);
		ip4->ttl = 64;
		ip4->check = 0;
		ip4->check = sum4(ip4);
		addresses = &ip4->saddr;
	}
	__be16 port = tcp->source;
	tcp->source = tcp->dest;
	tcp->dest = port;
	tcp->ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + 1);
	tcp->seq = 0;
	((__u8 *)tcp)[12] = sizeof(*tcp) / 4 << 4;
	((__u8 *)tcp)[13] = TCP_RST | TCP_ACK;
	tcp->window = 0;
	tcp->check = 0;
	tcp->urg_ptr = 0;
	__u64 pseudo = bpf_csum_diff(NULL, 0, addresses, size, bpf_htonl(sizeof(*tcp) + IPPROTO_TCP));
	tcp->check = partial ? fold(pseudo) : (__u16)~fold(bpf_csum_diff(NULL, 0, (void *)tcp, sizeof(*tcp), pseudo));
	return send(xdp, link);
}

__noinline int reset4_xdp(struct xdp_md *ctx) { return reset(ctx, true, false); }
__noinline int reset6_xdp(struct xdp_md *ctx) { return reset(ctx, true, true); }
__noinline int reset4_tcx(struct __sk_buff *ctx) { return reset(ctx, false, false); }
__noinline int reset6_tcx(struct __sk_buff *ctx) { return reset(ctx, false, true); }
