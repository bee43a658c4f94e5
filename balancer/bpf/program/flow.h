// Which server a flow goes to.
//
// A flow that is remembered goes to its server while that is up or draining; a
// new one goes by Maglev's table. There are two memories: a flow is put in the
// first with its first packet, and in the second with its next one that is not a
// SYN. A flood of spoofed SYNs or datagrams fills the first alone.
#pragma once

#include "guard.h"
#include "hash.h"
#include "packet.h"

// A flow, as the client's packets name it.
struct tuple {
	struct address client, local;
	__be16 client_port, local_port;
	__u8 protocol;
	bool syn, end; // TCP: the first packet; one that ends
};

inline_ struct vip *vip_of(const struct tuple *t)
{
	struct vip_key key = {.address = t->local, .service = service_of(t->local_port, t->protocol)};
	return bpf_map_lookup_elem(&vips, &key);
}

// is_vip tells whether an address has VIPs, whatever their ports.
inline_ bool is_vip(const struct address *a)
{
	struct vip_key key = {.address = *a};
	return bpf_map_lookup_elem(&vips, &key) != NULL;
}

inline_ __u64 hash_of(const bool v6, const struct vip *vip, const struct tuple *t)
{
	__u64 h = vip->start;
	if (v6)
		h = mix(h, upper(&t->client));
	h = mix(h, lower(&t->client));
	if (vip->flags & WHOLE) {
		h = mix(h, v6 ? upper(&t->local) : 0);
		h = mix(h, lower(&t->local));
		h = mix(h, (__u64)bpf_ntohs(t->client_port) << 16 | bpf_ntohs(t->local_port));
	}
	return finish(h);
}

#define TRIES 16 // the chance that none of so many slots is up, with half of the servers down: 1 in 65536

// up_from returns a table's first server that is up from a slot on: that of the slot, or of one of the next
// ones, as between a failure and the next table; MOST_SERVERS if there is none. Not
// inlined, so that the verifier sees the loop once.
__noinline __u32 up_from(__u32 table_index, __u32 slot)
{
	__u32 zero = 0;
	void *in = bpf_map_lookup_elem(&tables, &table_index);
	if (!in)
		return MOST_SERVERS;
	struct table *table = bpf_map_lookup_elem(in, &zero);
	if (!table)
		return MOST_SERVERS;
#pragma clang loop unroll(disable)
	for (int i = 0; i < TRIES; i++, slot++) {
		if (slot >= SLOTS)
			slot = 0;
		__u32 index = table->server[slot];
		struct server *s = bpf_map_lookup_elem(&servers, &index);
		if (s && s->state == UP)
			return index;
	}
	return MOST_SERVERS;
}

// choose finds a server for a new flow, by its hash.
inline_ struct server *choose(const bool v6, struct vip *vip, const struct tuple *t, __u32 *index)
{
	*index = up_from(vip->table, slot_of(hash_of(v6, vip, t)));
	return bpf_map_lookup_elem(&servers, index);
}

// holder returns the server of a remembered flow, NULL if the flow is to be a new one.
inline_ struct server *holder(struct remembered *r, struct vip *vip, const struct tuple *t, __u32 now)
{
	struct server *s = bpf_map_lookup_elem(&servers, &r->server);
	if (!s || s->serial != r->serial || s->state == DOWN)
		return NULL;
	if (t->syn && (s->state != UP || r->ended))
		return NULL; // a new connection from the same port
	if (t->protocol == IPPROTO_UDP && now - r->seen > vip->idle)
		return NULL;
	return s;
}

// may_remember bounds what a flood costs, and how fast it can turn over what is remembered.
inline_ bool may_remember(__u32 now)
{
	__u32 zero = 0;
	struct rate *r = bpf_map_lookup_elem(&rates, &zero);
	if (!r)
		return false;
	if (r->now != now) {
		r->now = now;
		r->flows = 0;
	}
	if (r->flows >= new_flows_most)
		return false;
	r->flows++;
	return true;
}

// What a packet is to its flow.
enum packet_is {
	KNOWN = 0,
	FIRST = 1,
	REFUSED = -1, // the first of one that may not be
};

// steer returns the server for a packet of a flow, NULL if there is none, and its index.
// flows and fresh are the memories, key is the flow's key in them.
inline_ struct server *steer(const bool v6, void *flows, void *fresh, const void *key, struct vip *vip, const struct tuple *t, __u32 *index,
			     enum packet_is *is)
{
	__u32 now = bpf_ktime_get_coarse_ns() >> 30;
	struct server *s;
	struct remembered *r = bpf_map_lookup_elem(flows, key);
	if (r) {
		*index = r->server;
		s = holder(r, vip, t, now);
		if (s) {
			if (r->seen != now)
				r->seen = now;
			if (t->end)
				r->ended = 1;
			return s;
		}
	}
	struct remembered *young = r ? NULL : bpf_map_lookup_elem(fresh, key);
	if (young) {
		*index = young->server;
		s = holder(young, vip, t, now);
		if (s) {
			young->seen = now;
			if (!t->syn && may_remember(now)) {
				struct remembered grown = {.server = young->server, .serial = young->serial, .seen = now, .ended = t->end};
				bpf_map_update_elem(flows, key, &grown, BPF_ANY);
				bpf_map_delete_elem(fresh, key);
			}
			return s;
		}
	}
	// A flow of TCP that is not known is new with a SYN alone: another balancer may have had it, or it was forgotten.
	if (vip->flags & GUARDED && (t->syn || t->protocol != IPPROTO_TCP) &&
	    !admitted(&t->client, v6 ? upper(&t->client) : bpf_ntohl(t->client.w[3]), vip->index)) {
		*is = REFUSED;
		return NULL;
	}
	s = choose(v6, vip, t, index);
	if (!s)
		return NULL;
	*is = FIRST;
	struct remembered *old = r ? r : young;
	if (old) {
		note(MOVED);
		old->server = *index;
		old->serial = s->serial;
		old->seen = now;
		old->ended = t->end;
	} else if (may_remember(now)) {
		struct remembered first = {.server = *index, .serial = s->serial, .seen = now, .ended = t->end};
		bpf_map_update_elem(fresh, key, &first, BPF_ANY);
	} else {
		note(UNREMEMBERED);
	}
	return s;
}

// steer_packet is steer for either family.
inline_ struct server *steer_packet(const bool v6, struct vip *vip, const struct tuple *t, __u32 *index, enum packet_is *is)
{
	if (v6) {
		struct flow6 key = {.client = t->client, .port = t->client_port, .vip = vip->number};
		return steer(v6, &flows6, &new6, &key, vip, t, index, is);
	}
	struct flow4 key = {.client = t->client.w[3], .port = t->client_port, .vip = vip->number};
	return steer(v6, &flows4, &new4, &key, vip, t, index, is);
}

// recall returns the server that a flow has or would have, and remembers nothing.
inline_ struct server *recall(const bool v6, struct vip *vip, const struct tuple *t, __u32 *index)
{
	__u32 now = bpf_ktime_get_coarse_ns() >> 30;
	struct remembered *r;
	if (v6) {
		struct flow6 key = {.client = t->client, .port = t->client_port, .vip = vip->number};
		r = bpf_map_lookup_elem(&flows6, &key);
		if (!r)
			r = bpf_map_lookup_elem(&new6, &key);
	} else {
		struct flow4 key = {.client = t->client.w[3], .port = t->client_port, .vip = vip->number};
		r = bpf_map_lookup_elem(&flows4, &key);
		if (!r)
			r = bpf_map_lookup_elem(&new4, &key);
	}
	struct server *s = r ? holder(r, vip, t, now) : NULL;
	if (s)
		*index = r->server;
	return s ? s : choose(v6, vip, t, index);
}
