/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* One object for the agent's tests; the macros make variants of it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef MAX_ENTRIES
#define MAX_ENTRIES 1024
#endif
#ifndef VALUE
#define VALUE __u64
#endif

const volatile __u32 verdict = 2;
__u32 tunable = 7;
__u64 runs;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_ENTRIES);
	__type(key, __u32);
	__type(value, VALUE);
} list SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} jumps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, 8);
	__uint(value_size, 4);
} prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

static __always_inline int judge(void)
{
	__u32 key = 1;
	VALUE *value = bpf_map_lookup_elem(&list, &key);

	__sync_fetch_and_add(&runs, 1);
	if (tunable == 99)
		return 0;
#ifdef REJECT
	return *(int *)(long)key;
#endif
	return value ? 1 : verdict;
}

SEC("xdp")
int xdp_guard(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 0);
	return judge();
}

#ifndef ONLY_ONE
SEC("xdp")
int xdp_other(struct xdp_md *ctx)
{
	return verdict;
}
#endif

SEC("xdp")
int xdp_forward(struct xdp_md *ctx)
{
	return bpf_redirect_map(&ports, 0, 0);
}

SEC("tc")
int tc_guard(struct __sk_buff *skb)
{
	return judge();
}

SEC("cgroup_skb/egress")
int cgroup_guard(struct __sk_buff *skb)
{
	return verdict & 1;
}

SEC("tp/syscalls/sys_enter_getpid")
int tp_guard(void *ctx)
{
	__sync_fetch_and_add(&runs, 1);
	return 0;
}

SEC("raw_tp/sys_enter")
int raw_guard(void *ctx)
{
	__sync_fetch_and_add(&runs, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
