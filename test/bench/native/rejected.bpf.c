// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The same entrypoint and maps as filter.bpf.c, but no verifier accepts it: it reads past what it checked. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 revision = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1024);
} ports SEC(".maps");

SEC("xdp")
int drop_ports(struct xdp_md *ctx)
{
	__u32 port = *(__u32 *)(long)ctx->data + revision;

	return bpf_map_lookup_elem(&ports, &port) ? XDP_DROP : XDP_PASS;
}
