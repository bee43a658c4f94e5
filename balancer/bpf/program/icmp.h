// ICMP to a VIP: echo requests are answered, errors go to the server that they are about.
#pragma once

#include "flow.h"
#include "forward.h"

// to_holder routes an error to the server of the flow that it quotes: a packet from the VIP to the client.
inline_ int to_holder(const bool xdp, const bool v6, const struct tuple *t, struct route *r)
{
	struct vip *vip = vip_of(t);
	if (!vip)
		return pass(xdp);
	r->found = recall(v6, vip, t, &r->server) != NULL;
	r->port = t->client_port;
	if (r->found)
		note(ERRORS);
	return pass(xdp);
}

inline_ int icmp4(void *ctx, const bool xdp, struct iphdr *ip, __u32 options, void *end, struct route *r)
{
	struct icmp *icmp = (void *)(ip + 1) + options;
	struct tuple t = {};
	if ((void *)(icmp + 1) > end)
		return pass(xdp);
	from4(&t.local, ip->daddr);
	if (!is_vip(&t.local))
		return pass(xdp);
	switch (icmp->type) {
	case ECHO_REQUEST:
		if (options || ip->saddr == ip->daddr)
			return pass(xdp);
		turn_round((struct ethhdr *)ip - 1);
		ip->daddr = ip->saddr;
		ip->saddr = t.local.w[3];
		set_ttl(ip, 64);
		icmp->sum = resum(icmp->sum, bpf_htons(ECHO_REQUEST << 8), 0);
		icmp->type = ECHO_REPLY;
		note(ECHO);
		return send(xdp, link);
	case UNREACHABLE:
	case TIME_EXCEEDED:
	case PARAMETER_PROBLEM:
		break;
	default:
		return pass(xdp);
	}
	struct iphdr *about = (void *)(icmp + 1);
	if ((void *)(about + 1) > end)
		return pass(xdp);
	struct udphdr *ports = (void *)about + about->ihl * 4;
	if (about->version != 4 || about->ihl < 5 || (void *)ports + 4 > end || about->saddr != ip->daddr ||
	    about->frag_off & bpf_htons(IP4_FRAGMENT) || about->protocol != IPPROTO_TCP && about->protocol != IPPROTO_UDP)
		return pass(xdp);
	from4(&t.client, about->daddr);
	t.client_port = ports->dest;
	t.local_port = ports->source;
	t.protocol = about->protocol;
	return to_holder(xdp, false, &t, r);
}

inline_ int icmp6(void *ctx, const bool xdp, struct ipv6hdr *ip, void *at, void *end, struct route *r)
{
	struct icmp *icmp = at;
	struct tuple t = {};
	if ((void *)(icmp + 1) > end)
		return pass(xdp);
	from6(&t.local, &ip->daddr);
	if (!is_vip(&t.local))
		return pass(xdp);
	if (icmp->type == ECHO_REQUEST6) {
		struct address client;
		from6(&client, &ip->saddr);
		if (same_address(&client, &t.local))
			return pass(xdp);
		turn_round((struct ethhdr *)ip - 1);
		ip->daddr = ip->saddr;
		__builtin_memcpy(&ip->saddr, &t.local, sizeof(t.local));
		ip->hop_limit = 64;
		icmp->sum = resum(icmp->sum, bpf_htons(ECHO_REQUEST6 << 8), bpf_htons(ECHO_REPLY6 << 8));
		icmp->type = ECHO_REPLY6;
		note(ECHO);
		return send(xdp, link);
	}
	if (icmp->type < UNREACHABLE6 || icmp->type > PARAMETER_PROBLEM6)
		return pass(xdp);
	struct ipv6hdr *about = (void *)(icmp + 1);
	struct udphdr *ports = (void *)(about + 1);
	if ((void *)ports + 4 > end || about->nexthdr != IPPROTO_TCP && about->nexthdr != IPPROTO_UDP)
		return pass(xdp);
	struct address from;
	from6(&from, &about->saddr);
	if (!same_address(&from, &t.local))
		return pass(xdp);
	from6(&t.client, &about->daddr);
	t.client_port = ports->dest;
	t.local_port = ports->source;
	t.protocol = about->nexthdr;
	return to_holder(xdp, true, &t, r);
}
