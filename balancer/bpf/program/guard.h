// Who may have a new flow. What is remembered never comes here.
#pragma once

#include "hash.h"
#include "packet.h"

// admitted decides about a client's new flow of the VIP with this index, and counts one that
// is refused. number is the first half of the client's address, or all of an IPv4 address. Not
// inlined: most packets are of flows that are known.
static __noinline bool admitted(const struct address *client, __u64 number, __u32 index)
{
	struct guard *g = bpf_map_lookup_elem(&guards, &index);
	struct refused *r = bpf_map_lookup_elem(&refused, &index);
	if (!g || !r)
		return true;
	if (g->list) {
		struct network of = {.length = 32 + 128, .list = g->list, .address = *client};
		__u32 *standing = bpf_map_lookup_elem(&networks, &of);
		if (standing && !(*standing & ALLOWED)) {
			r->denied++;
			return false;
		}
		if (standing && *standing & EXEMPT)
			return true;
	}
	if (!g->step)
		return true;
	// A bucket is a time: each flow moves it on by its step, and it may be ahead of now by the burst.
	struct bucket key = {.network = number & g->mask, .bound = g->bound};
	__u64 now = bpf_ktime_get_coarse_ns(), first = now + g->step;
	__u64 *until = bpf_map_lookup_elem(&buckets, &key);
	if (!until) {
		bpf_map_update_elem(&buckets, &key, &first, BPF_ANY);
		return true;
	}
	__u64 taken = *until;
	if (taken < now) {
		*until = first;
		return true;
	}
	if (taken + g->step > now + g->burst) {
		r->over_rate++;
		return false;
	}
	__sync_fetch_and_add(until, g->step);
	return true;
}
