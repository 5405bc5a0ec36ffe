// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Counts the programs that are started, by the name that the kernel gives their process. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TASK_COMM_LEN 16

struct command {
	char comm[TASK_COMM_LEN];
};

struct started {
	__u64 count;
	__u64 last_pid;
};

/* executions by command; the ones seen longest ago make room */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct command);
	__type(value, struct started);
} executions SEC(".maps");

/* commands that are not counted; filled from outside */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct command);
	__type(value, __u8);
} ignored SEC(".maps");

/* cgroup (v2) whose own processes are counted, by its id; 0 counts everybody's */
const volatile __u64 only_cgroup = 0;

SEC("tracepoint/sched/sched_process_exec")
int count_exec(void *ctx)
{
	struct started first = { .count = 1 };
	struct command command = {};
	struct started *started;

	if (only_cgroup && bpf_get_current_cgroup_id() != only_cgroup)
		return 0;

	bpf_get_current_comm(command.comm, sizeof(command.comm));
	if (bpf_map_lookup_elem(&ignored, &command))
		return 0;

	first.last_pid = bpf_get_current_pid_tgid() >> 32;
	started = bpf_map_lookup_elem(&executions, &command);
	if (started) {
		__sync_fetch_and_add(&started->count, 1);
		started->last_pid = first.last_pid;
	} else {
		bpf_map_update_elem(&executions, &command, &first, BPF_NOEXIST);
	}
	return 0;
}
