// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Refuses connections of a cgroup's processes to IPv4 networks that are denied to them. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct network {
	__u32 prefixlen;
	__be32 addr;
};

struct denial {
	/* 0 denies all ports */
	__be16 port;
};

/* what may not be connected to: the longest prefix that matches decides */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct network);
	__type(value, struct denial);
} denied SEC(".maps");

/* refused connections by address */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, __u64);
} refusals SEC(".maps");

static __always_inline void count_refusal(__be32 addr)
{
	__u64 *count = bpf_map_lookup_elem(&refusals, &addr);
	__u64 first = 1;

	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&refusals, &addr, &first, BPF_NOEXIST);
}

/* 1 allows, 0 makes connect(2) fail with EPERM */
SEC("cgroup/connect4")
int guard_connect(struct bpf_sock_addr *ctx)
{
	struct network to = { .prefixlen = 32, .addr = ctx->user_ip4 };
	struct denial *denial = bpf_map_lookup_elem(&denied, &to);

	if (!denial)
		return 1;
	if (denial->port && denial->port != (__be16)ctx->user_port)
		return 1;
	count_refusal(to.addr);
	return 0;
}
