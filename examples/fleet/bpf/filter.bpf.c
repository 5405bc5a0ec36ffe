// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Drops IPv4 packets that come from a listed network, and counts what it passes and drops. */
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

/* rules by network: the longest prefix that matches decides */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct network);
	__type(value, struct rule);
} blocked SEC(".maps");

/* packets by action */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} verdicts SEC(".maps");

/* what happens to packets from networks that no rule names */
const volatile __u32 otherwise = PASS;

SEC("xdp")
int filter(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct network from = { .prefixlen = 32 };
	struct rule *rule;
	__u32 action;
	__u64 *count;

	if ((void *)(ip + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	from.addr = ip->saddr;
	rule = bpf_map_lookup_elem(&blocked, &from);
	action = rule ? rule->action == DROP : otherwise == DROP;
	count = bpf_map_lookup_elem(&verdicts, &action);
	if (count)
		(*count)++;
	return action ? XDP_DROP : XDP_PASS;
}
