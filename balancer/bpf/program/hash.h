// The hash of a flow: the same as balancer.FlowKey's, so that this plane, the
// proxy plane's Maglev pick and any other balancer with the same key agree.
#pragma once

#include "maps.h"

#define HASH_STEP 0xe7037ed1a0b428dbULL

// The upper half of a product of 64 bits each: BPF has no such instruction.
static __always_inline __u64 high(__u64 a, __u64 b)
{
	__u64 al = (__u32)a, ah = a >> 32, bl = (__u32)b, bh = b >> 32;
	__u64 low = al * bl, one = ah * bl + (low >> 32), two = al * bh + (__u32)one;
	return ah * bh + (one >> 32) + (two >> 32);
}

static __always_inline __u64 mix(__u64 h, __u64 v)
{
	__u64 a = h ^ v, b = HASH_STEP ^ h >> 1;
	return high(a, b) ^ a * b;
}

static __always_inline __u64 finish(__u64 h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}

static __always_inline __u64 upper(const struct address *a)
{
	return (__u64)bpf_ntohl(a->w[0]) << 32 | bpf_ntohl(a->w[1]);
}

static __always_inline __u64 lower(const struct address *a)
{
	return (__u64)bpf_ntohl(a->w[2]) << 32 | bpf_ntohl(a->w[3]);
}

// slot_of is h modulo SLOTS. As 2^16 is -1 modulo 2^16 + 1, that is the sum of the
// 16-bit digits with signs in turn.
static __always_inline __u32 slot_of(__u64 h)
{
	__u32 s = (__u16)h + (__u16)(h >> 32) + 2 * SLOTS - (__u16)(h >> 16) - (__u16)(h >> 48);
	if (s >= 2 * SLOTS)
		s -= 2 * SLOTS;
	if (s >= SLOTS)
		s -= SLOTS;
	return s;
}
