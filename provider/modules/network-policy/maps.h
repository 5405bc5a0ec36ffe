/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a load is told, the maps that loads share, and the scratch of one packet. */
#ifndef NETWORK_POLICY_MAPS_H
#define NETWORK_POLICY_MAPS_H

#include "lookup.h"
#include "network-policy.h"
#include "parse.h"

#define SECOND 1000000000ULL

/* of the policies that this program was loaded for; never used again on the host */
const volatile __u32 policy_id = 1;
/* 0 where frames begin with the IP header: tunnels and the like */
const volatile __u8 link_header = ETH_HLEN;
/* more than 0: rule_shards counts in place of rule_counters */
const volatile __u32 counter_shards = 0;
/* 0: a shard is one CPU's alone, since there are no more CPUs than shards */
const volatile __u8 shards_shared = 1;
/* one in so many judged packets is an event; 0: none */
const volatile __u32 sample_rate = 0;
/* the verdict goes to `explained`, too: for test-runs */
const volatile __u8 explain = 0;
/* a generation may have FLAG_UNTRACKED, and nothing else asks whether it has: so the way past connections costs others nothing */
const volatile __u8 untracked = 0;
/* connections are timed by the clock of the last timer tick, which costs nothing to read; Linux 5.11 */
const volatile __u8 clock_coarse = 0;
const volatile __u64 timeouts[TIMEOUTS] = {
	[TIMEOUT_TCP_HALF_OPEN] = 60 * SECOND,
	[TIMEOUT_TCP] = 86400 * SECOND,
	[TIMEOUT_TCP_FIN] = 120 * SECOND,
	[TIMEOUT_TCP_RST] = 10 * SECOND,
	[TIMEOUT_UDP_HALF_OPEN] = 30 * SECOND,
	[TIMEOUT_UDP] = 180 * SECOND,
	[TIMEOUT_ICMP] = 30 * SECOND,
	[TIMEOUT_HALF_OPEN] = 60 * SECOND,
	[TIMEOUT_OTHER] = 600 * SECOND,
	[TIMEOUT_FRAGMENT] = 30 * SECOND,
};

/* two slots of generations */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(map_flags, BPF_F_INNER_MAP);
		__uint(max_entries, 1);
		__type(key, __u32);
		__uint(value_size, sizeof(struct cell));
	});
} generations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct selector);
} selectors SEC(".maps");

/*
 * connections without a reply so far, apart: what floods this table displaces no answered connection. With one entry more than
 * a power of two the kernel makes twice as many buckets, so that a full table's hold half an entry each and not a whole one
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65537);
	__type(key, struct flow_key);
	__type(value, struct flow);
} half_open SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow_key);
	__type(value, struct flow);
} established SEC(".maps");

/* first fragments that passed */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

/* by slot */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counter);
} rule_counters SEC(".maps");

/* by (slot / SHARD_SLOTS * counter_shards + shard) * SHARD_SLOTS + slot % SHARD_SLOTS */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counter);
} rule_shards SEC(".maps");

/* by (reason * 2 + hook) * 2 + whether it passed */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS * 4);
	__type(key, __u32);
	__type(value, struct counter);
} totals SEC(".maps");

/* by hook, what enforcing the audit policies would drop */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct counter);
} audit_drops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct event);
} explained SEC(".maps");

struct verdict {
	__u32 rule;
	__u32 audit;
	__u8 pass;
	__u8 audit_pass;
	__u8 reason;
	__u8 audited;
};

/* one packet's judgement; not on the stack, which is too small, and where the verifier would tell every case apart */
struct scratch {
	__u64 generation;
	__u64 now;
	__u32 flags;
	__u32 labels;
	__u32 sets[2][2]; /* cells, by hook: enforced, audited */
	__u32 slot; /* of the generation */
	__u32 hook;
	__u32 length;
	struct packet packet;
	struct question question;
	struct verdict verdict;
	struct flow fresh;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* CLOCK_MONOTONIC in ns; of loads that share tables some may be exact and some not */
static __always_inline __u64 clock_now(void)
{
	return clock_coarse ? bpf_ktime_get_coarse_ns() : bpf_ktime_get_ns();
}

static __always_inline struct scratch *current_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

#endif
