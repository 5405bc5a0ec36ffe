// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Numbers its runs, and tells each in a ring buffer. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

__u64 runs;

SEC("xdp")
int tell(struct xdp_md *ctx)
{
	__u64 *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);

	runs++;
	if (!record)
		return XDP_DROP;
	*record = runs;
	bpf_ringbuf_submit(record, 0);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
