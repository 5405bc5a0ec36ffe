// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Programs that every verifier refuses, each for another reason. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

SEC("xdp")
int null_check_missing(struct xdp_md *ctx)
{
	__u32 key = 7;
	__u64 *value = bpf_map_lookup_elem(&counts, &key);

	return *value;
}

SEC("xdp")
int packet_bounds_missing(struct xdp_md *ctx)
{
	unsigned char *data = (void *)(long)ctx->data;

	return data[12];
}

SEC("xdp")
int context_out_of_bounds(struct xdp_md *ctx)
{
	return *(volatile __u32 *)((void *)ctx + 200);
}

SEC("xdp")
int helper_not_allowed(struct xdp_md *ctx)
{
	return bpf_set_hash_invalid((void *)ctx), 0;
}

SEC("xdp")
int endless_loop(struct xdp_md *ctx)
{
	volatile __u32 turns = 0;

	for (;;)
		turns++;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
