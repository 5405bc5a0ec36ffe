// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Sends packets of a workload as a network card with XDP hands them over: each in a page of its own. For live frames of
 * BPF_PROG_TEST_RUN, whose pages hold what was last written.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "frame.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* a section of its own, which traffic.c fills as a whole */
const volatile struct packets packets SEC(".rodata.packets") = {};

SEC("xdp")
int send_frame(struct xdp_md *ctx)
{
	struct packets wanted = packets;
	struct frame *frame = (void *)(long)ctx->data;

	if ((void *)(frame + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	write_frame(frame, &wanted);
	return bpf_redirect(wanted.ifindex, 0);
}
