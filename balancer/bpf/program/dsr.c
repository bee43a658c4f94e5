// Direct server return: packets for a VIP go to one of its servers as they are,
// and the server answers the client itself. One source, two programs: for the
// driver (XDP) and for the network stack's ingress (TCX). They see a frame in
// this order, and pass what fails a test:
//
//	destination station  this interface's own address
//	type                 IPv4 or IPv6 itself: a VLAN tag fails
//	IP header            whole, and no longer than the frame
//	protocol             TCP or UDP; ICMP to a VIP is another matter (icmp.h)
//	address and port     a VIP's
//
// The server is that of the flow (flow.h); the way to it is in forward.h.
#include "flow.h"
#include "forward.h"
#include "icmp.h"
#include "reset.h"

// ports fills in what stands at the start of the transport header.
inline_ bool ports(struct tuple *t, void *at, void *end)
{
	struct udphdr *udp = at;
	if ((void *)(udp + 1) > end)
		return false;
	t->client_port = udp->source;
	t->local_port = udp->dest;
	if (t->protocol != IPPROTO_TCP)
		return true;
	__u8 *tcp = at;
	if (tcp + sizeof(struct tcphdr) > (__u8 *)end)
		return false;
	t->syn = (tcp[13] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	t->end = tcp[13] & (TCP_FIN | TCP_RST);
	return true;
}

// first_fragment has those that follow go to the same server.
inline_ void first_fragment(const struct tuple *t, __u32 id, __u32 index, const struct server *s)
{
	struct fragment_key key = {.from = t->client, .to = t->local, .id = id, .protocol = t->protocol};
	struct fragment_of of = {.server = index, .serial = s->serial};
	bpf_map_update_elem(&fragments, &key, &of, BPF_ANY);
}

// later_fragment routes a fragment after the first one, which has no ports. One whose
// first has not come by is passed: it may be of another service at that address.
inline_ int later_fragment(const bool xdp, const struct tuple *t, __u32 id, struct route *r)
{
	struct fragment_key key = {.from = t->client, .to = t->local, .id = id, .protocol = t->protocol};
	struct fragment_of *of = bpf_map_lookup_elem(&fragments, &key);
	struct server *s = of ? bpf_map_lookup_elem(&servers, &of->server) : NULL;
	if (s && s->serial == of->serial && s->state != DOWN) {
		note(FRAGMENTS);
		r->server = of->server;
		r->found = true;
	} else if (is_vip(&t->local)) {
		note(FRAGMENT_LOST);
	}
	return pass(xdp);
}

// to_server routes a packet with ports. fragment tells that others with its id follow.
inline_ int to_server(const bool xdp, const bool v6, const struct tuple *t, __u32 length, bool fragment, __u32 id, struct route *r)
{
	struct vip *vip = vip_of(t);
	__u32 index = 0;
	enum packet_is is = KNOWN;
	if (!vip)
		return pass(xdp);
	struct server *s = steer_packet(v6, vip, t, &index, &is);
	if (is == REFUSED) {
		r->reset = t->protocol == IPPROTO_TCP && !fragment;
		return drop(xdp);
	}
	count(&vip_counts, vip->index, length, is);
	if (!s) {
		note(NO_SERVER);
		return pass(xdp);
	}
	count(&server_counts, index, length, is);
	if (fragment)
		first_fragment(t, id, index, s);
	*r = (struct route){.found = true, .server = index, .protocol = t->protocol, .port = t->client_port, .answerable = true};
	return pass(xdp);
}

inline_ int malformed(const bool xdp, const struct address *to)
{
	if (is_vip(to))
		note(MALFORMED);
	return pass(xdp);
}

inline_ int ip4(void *ctx, const bool xdp, struct iphdr *ip, void *end, struct route *r)
{
	struct tuple t = {};
	if ((void *)(ip + 1) > end)
		return pass(xdp);
	from4(&t.client, ip->saddr);
	from4(&t.local, ip->daddr);
	t.protocol = ip->protocol;
	__u32 options = ip->ihl * 4 - sizeof(*ip), length = bpf_ntohs(ip->tot_len);
	__u32 there = xdp ? end - (void *)ip : ((struct __sk_buff *)ctx)->len - sizeof(struct ethhdr);
	if (ip->version != 4 || ip->ihl < 5 || length < options + sizeof(*ip) || length > there)
		return malformed(xdp, &t.local);
	__u16 where = bpf_ntohs(ip->frag_off);
	if (where & IP4_FRAGMENT)
		return later_fragment(xdp, &t, ip->id, r);
	if (t.protocol == IPPROTO_ICMP)
		return where & IP4_MORE ? pass(xdp) : icmp4(ctx, xdp, ip, options & 0x3c, end, r);
	if (t.protocol != IPPROTO_TCP && t.protocol != IPPROTO_UDP)
		return pass(xdp);
	if (!ports(&t, (void *)(ip + 1) + (options & 0x3c), end))
		return malformed(xdp, &t.local);
	return to_server(xdp, false, &t, length, where & IP4_MORE, ip->id, r);
}

// A header that may stand between IPv6's and the transport's (RFC 8200, section 4).
struct extension {
	__u8 next, length; // in 8 octets, less one
	__be16 where;      // in a fragment header: offset and the bit for more
	__be32 id;
};

#define EXTENSIONS 4
#define FURTHEST 256 // octets after IPv6's header that the transport's may begin at

// ip6 walks the extension headers that a packet to a server may have: options and
// a fragment header. Others are somebody else's.
inline_ int ip6(void *ctx, const bool xdp, struct ipv6hdr *ip, void *end, struct route *r)
{
	struct tuple t = {};
	if ((void *)(ip + 1) > end)
		return pass(xdp);
	from6(&t.client, &ip->saddr);
	from6(&t.local, &ip->daddr);
	t.protocol = ip->nexthdr;
	__u32 length = bpf_ntohs(ip->payload_len), offset = 0, id = 0;
	__u32 there = xdp ? end - (void *)(ip + 1) : ((struct __sk_buff *)ctx)->len - sizeof(struct ethhdr) - sizeof(*ip);
	if (ip->version != 6 || length > there)
		return malformed(xdp, &t.local);
	bool more = false;
	for (int i = 0; i < EXTENSIONS; i++) {
		bool fragment = t.protocol == IPPROTO_FRAGMENT;
		if (!fragment && t.protocol != IPPROTO_HOPOPTS && t.protocol != IPPROTO_DSTOPTS)
			break;
		struct extension *e = (void *)(ip + 1) + (offset & (FURTHEST - 1));
		if ((void *)(e + 1) > end)
			return malformed(xdp, &t.local);
		t.protocol = e->next;
		offset += fragment ? sizeof(*e) : (e->length + 1) * 8;
		if (offset >= FURTHEST)
			return malformed(xdp, &t.local);
		if (!fragment)
			continue;
		id = e->id;
		if (e->where & bpf_htons(0xfff8))
			return later_fragment(xdp, &t, id, r);
		more = e->where & bpf_htons(1);
	}
	void *at = (void *)(ip + 1) + (offset & (FURTHEST - 1));
	if (t.protocol == IPPROTO_ICMPV6)
		return more ? pass(xdp) : icmp6(ctx, xdp, ip, at, end, r);
	if (t.protocol != IPPROTO_TCP && t.protocol != IPPROTO_UDP)
		return pass(xdp);
	if (!ports(&t, at, end))
		return malformed(xdp, &t.local);
	return to_server(xdp, true, &t, length + sizeof(*ip), more, id, r);
}

inline_ int frame(void *ctx, const bool xdp)
{
	struct ethhdr *eth = start_of(ctx, xdp);
	void *end = end_of(ctx, xdp);
	struct route r = {};
	if ((void *)(eth + 1) > end || !same_station(eth->h_dest, station))
		return pass(xdp);
	bool v6 = eth->h_proto == bpf_htons(ETH_P_IPV6);
	int verdict = pass(xdp);
	if (v6)
		verdict = ip6(ctx, xdp, (void *)(eth + 1), end, &r);
	else if (eth->h_proto == bpf_htons(ETH_P_IP))
		verdict = ip4(ctx, xdp, (void *)(eth + 1), end, &r);
	if (r.reset && xdp)
		return v6 ? reset6_xdp(ctx) : reset4_xdp(ctx);
	if (r.reset)
		return v6 ? reset6_tcx(ctx) : reset4_tcx(ctx);
	if (!r.found)
		return verdict;
	if (xdp)
		return v6 ? forward6_xdp(ctx, r.server, r.port, r.protocol, r.answerable) : forward4_xdp(ctx, r.server, r.port, r.protocol, r.answerable);
	return v6 ? forward6_tcx(ctx, r.server, r.port, r.protocol, r.answerable) : forward4_tcx(ctx, r.server, r.port, r.protocol, r.answerable);
}

SEC("xdp") int dsr_xdp(struct xdp_md *ctx) { return frame(ctx, true); }

SEC("tcx/ingress") int dsr_tcx(struct __sk_buff *skb)
{
	if (skb->vlan_present)
		return TCX_NEXT; // the tag is kept apart from the frame
	// Headers may lie in pages of their own.
	__u32 readable = skb->data_end - skb->data;
	if (readable < skb->len && readable < HEADERS)
		bpf_skb_pull_data(skb, skb->len < HEADERS ? skb->len : HEADERS);
	return frame(skb, false);
}

char LICENSE[] SEC("license") = "Apache-2.0";
