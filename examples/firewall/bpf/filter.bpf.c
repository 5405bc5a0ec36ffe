// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Judges IPv4 packets by the network they come from, before the kernel sees them. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum action {
	PASS,
	DROP,
};

struct network {
	__u32 prefixlen;
	__be32 addr;
};

struct rule {
	enum action action;
};

struct counter {
	__u64 packets;
	__u64 bytes;
};

struct sample {
	__u64 packets;
	__u64 last_seen_ns;
};

/* rules by network: the longest prefix that matches decides */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct network);
	__type(value, struct rule);
} blocked SEC(".maps");

/* packets and bytes by action */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct counter);
} verdicts SEC(".maps");

/* where sampled drops came from */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, struct sample);
} sampled SEC(".maps");

/* one in so many dropped packets is sampled; 0 samples none */
const volatile __u32 sample_rate = 0;

static __always_inline void count(enum action action, __u64 bytes)
{
	__u32 index = action;
	struct counter *counter = bpf_map_lookup_elem(&verdicts, &index);

	if (!counter)
		return;
	counter->packets++;
	counter->bytes += bytes;
}

static __always_inline void take_sample(__be32 addr)
{
	struct sample first = { .packets = 1, .last_seen_ns = bpf_ktime_get_ns() };
	struct sample *sample;

	if (!sample_rate || bpf_get_prandom_u32() % sample_rate)
		return;
	sample = bpf_map_lookup_elem(&sampled, &addr);
	if (sample) {
		__sync_fetch_and_add(&sample->packets, 1);
		sample->last_seen_ns = first.last_seen_ns;
	} else {
		bpf_map_update_elem(&sampled, &addr, &first, BPF_NOEXIST);
	}
}

SEC("xdp")
int xdp_filter(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct network from = { .prefixlen = 32 };
	enum action action = PASS;
	struct rule *rule;

	/* ARP, IPv6 and what is too short to be IPv4 is not ours to judge */
	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;

	from.addr = ip->saddr;
	rule = bpf_map_lookup_elem(&blocked, &from);
	if (rule)
		action = rule->action;
	/* whatever is no known action passes, and is counted so */
	if (action != DROP)
		action = PASS;

	count(action, end - data);
	if (action == PASS)
		return XDP_PASS;
	take_sample(from.addr);
	return XDP_DROP;
}
