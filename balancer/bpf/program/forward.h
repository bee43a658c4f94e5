// How a packet gets to a server: readdressed, or with an outer header.
#pragma once

#include "packet.h"
#include "toobig.h"

#define OUTER_TTL 64

struct outer {
	__u32 length; // of the inner packet
	__u8 tos;     // of the inner packet, with its ECN bits (RFC 6040)
	__be16 port;  // source of GUE: tells flows apart where only outer headers are looked at
};

// put_outer writes the outer headers at p, which has the room.
inline_ void put_outer(void *p, const bool v6, const struct server *s, const struct outer *o)
{
	bool gue = s->forward == GUE;
	__u8 protocol = gue ? IPPROTO_UDP : v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	__u32 length = o->length + (gue ? sizeof(struct udphdr) : 0);
	struct udphdr *udp;
	if (s->v6) {
		struct ipv6hdr *ip = p;
		*(__be32 *)ip = bpf_htonl(6 << 28 | (__u32)o->tos << 20);
		ip->payload_len = bpf_htons(length);
		ip->nexthdr = protocol;
		ip->hop_limit = OUTER_TTL;
		__builtin_memcpy(&ip->saddr, &s->from, sizeof(s->from));
		__builtin_memcpy(&ip->daddr, &s->to, sizeof(s->to));
		udp = (void *)(ip + 1);
	} else {
		struct iphdr *ip = p;
		*(__u8 *)ip = 0x45;
		ip->tos = o->tos;
		ip->tot_len = bpf_htons(length + sizeof(*ip));
		ip->id = 0; // of a datagram that is never fragmented: RFC 6864
		ip->frag_off = bpf_htons(IP4_DF);
		ip->ttl = OUTER_TTL;
		ip->protocol = protocol;
		ip->check = 0;
		ip->saddr = s->from.w[3];
		ip->daddr = s->to.w[3];
		ip->check = sum4(ip);
		udp = (void *)(ip + 1);
	}
	if (gue) { // variant 1: an IP header follows at once, and its version tells
		udp->source = o->port;
		udp->dest = s->port;
		udp->len = bpf_htons(length);
		udp->check = 0; // the inner packet has its own; RFC 6935 allows it for tunnels over IPv6
	}
}

// room_of is what a server's outer headers take.
inline_ __u32 room_of(const struct server *s)
{
	if (s->forward == LAYER2)
		return 0;
	return (s->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + (s->forward == GUE ? sizeof(struct udphdr) : 0);
}

#define MOST_ROOM (sizeof(struct ipv6hdr) + sizeof(struct udphdr))

inline_ int encapsulate(void *ctx, const bool xdp, const bool v6, struct server *s, struct outer *o)
{
	__u32 room = room_of(s);
	if (xdp) {
		if (bpf_xdp_adjust_head(ctx, -(int)room))
			return lost(xdp, TOO_BIG_LOST);
	} else {
		struct __sk_buff *skb = ctx;
		__u64 flags = (s->v6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4) | (s->forward == GUE ? BPF_F_ADJ_ROOM_ENCAP_L4_UDP : 0);
		// Segments of TCP that were put together are cut smaller; datagrams must stay what they are.
		if (bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, flags) &&
		    bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, flags | BPF_F_ADJ_ROOM_FIXED_GSO))
			return lost(xdp, TOO_BIG_LOST);
	}
	struct ethhdr *eth = start_of(ctx, xdp);
	if ((void *)(eth + 1) + MOST_ROOM > end_of(ctx, xdp)) // a server's headers and the shortest packet are more
		return drop(xdp);
	copy_station(eth->h_dest, s->station);
	copy_station(eth->h_source, s->source);
	eth->h_proto = s->v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	put_outer(eth + 1, v6, s, o);
	return send(xdp, s->link);
}

// fits tells whether a packet can go out with room octets more. Of what the network
// stack has put together the parts count, and of TCP those can be cut smaller.
inline_ bool fits(void *ctx, const bool xdp, const struct server *s, __u32 length, __u8 protocol, __u32 headers)
{
	__u32 most = s->mtu;
	if (xdp)
		return generic || length + room_of(s) <= most;
	__u32 part = ((struct __sk_buff *)ctx)->gso_size;
	if (!part)
		return length + room_of(s) <= most;
	return protocol == IPPROTO_TCP || part + headers + room_of(s) <= most;
}

// Where a packet is to go.
struct route {
	bool found;
	__u32 server;    // index
	__be16 port;     // of the client
	__u8 protocol;   // 0: not known
	bool answerable; // what does not fit is answered
	bool reset;      // nowhere: the client is told
};

// forward sends the packet, whose IP header has been checked, to its server.
inline_ int forward(void *ctx, const bool xdp, const bool v6, __u32 index, __be16 port, __u8 protocol, bool answerable)
{
	struct server *s = bpf_map_lookup_elem(&servers, &index);
	if (!s)
		return drop(xdp);
	if (!s->resolved)
		return lost(xdp, UNRESOLVED);
	struct ethhdr *eth = start_of(ctx, xdp);
	void *end = end_of(ctx, xdp);
	struct iphdr *ip4 = (void *)(eth + 1);
	struct ipv6hdr *ip6 = (void *)(eth + 1);
	if (v6 ? (void *)(ip6 + 1) > end : (void *)(ip4 + 1) > end)
		return drop(xdp);
	struct outer o = {.port = port | bpf_htons(0xc000)}; // RFC 6335: a dynamic port
	if (v6) {
		o.length = bpf_ntohs(ip6->payload_len) + sizeof(*ip6);
		o.tos = bpf_ntohl(*(__be32 *)ip6) >> 20;
	} else {
		o.length = bpf_ntohs(ip4->tot_len);
		o.tos = ip4->tos;
	}
	if (!fits(ctx, xdp, s, o.length, protocol, (v6 ? sizeof(*ip6) : sizeof(*ip4)) + sizeof(struct udphdr))) {
		if (!answerable || !v6 && !(ip4->frag_off & bpf_htons(IP4_DF)))
			return lost(xdp, TOO_BIG_LOST);
		return v6 ? too_big6(ctx, xdp, s->mtu - room_of(s)) : too_big4(ctx, xdp, s->mtu - room_of(s));
	}
	// As a router does (RFC 2003, section 3.1), and so that balancers which take one another for servers do not play ball.
	if (v6) {
		if (ip6->hop_limit <= 1)
			return lost(xdp, EXPIRED);
		ip6->hop_limit--;
	} else {
		if (ip4->ttl <= 1)
			return lost(xdp, EXPIRED);
		set_ttl(ip4, ip4->ttl - 1);
	}
	if (s->forward == LAYER2) {
		copy_station(eth->h_dest, s->station);
		copy_station(eth->h_source, s->source);
		return send(xdp, s->link);
	}
	return encapsulate(ctx, xdp, v6, s, &o);
}

// Not inlined, so that the verifier sees them once, not once for each way to get there.
__noinline int forward4_xdp(struct xdp_md *ctx, __u32 index, __u16 port, __u8 protocol, bool answerable)
{
	return forward(ctx, true, false, index, port, protocol, answerable);
}

__noinline int forward6_xdp(struct xdp_md *ctx, __u32 index, __u16 port, __u8 protocol, bool answerable)
{
	return forward(ctx, true, true, index, port, protocol, answerable);
}

__noinline int forward4_tcx(struct __sk_buff *ctx, __u32 index, __u16 port, __u8 protocol, bool answerable)
{
	return forward(ctx, false, false, index, port, protocol, answerable);
}

__noinline int forward6_tcx(struct __sk_buff *ctx, __u32 index, __u16 port, __u8 protocol, bool answerable)
{
	return forward(ctx, false, true, index, port, protocol, answerable);
}
