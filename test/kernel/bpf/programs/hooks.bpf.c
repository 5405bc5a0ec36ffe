// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One small program per hook, with a verdict that user space sets before load. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} runs SEC(".maps");

const volatile __u32 verdict = 1;
__u32 seeded = 7;
__u32 zeroed;

static __always_inline void count(void)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&runs, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

SEC("xdp")
int xdp_verdict(struct xdp_md *ctx)
{
	count();
	return verdict;
}

SEC("xdp")
int xdp_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("tc")
int tc_verdict(struct __sk_buff *skb)
{
	count();
	return verdict;
}

SEC("cgroup/connect4")
int refuse_connect(struct bpf_sock_addr *ctx)
{
	count();
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int on_getppid(void *ctx)
{
	zeroed += seeded;
	count();
	return 0;
}

SEC("raw_tracepoint/sys_enter")
int on_sys_enter(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
