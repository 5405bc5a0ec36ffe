/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is told of a judged packet: counters, and events. */
#ifndef NETWORK_POLICY_COUNTERS_H
#define NETWORK_POLICY_COUNTERS_H

#include "maps.h"

static __always_inline void add(struct counter *counter, __u64 bytes)
{
	if (!counter)
		return;
	counter->packets++;
	counter->bytes += bytes;
}

static __always_inline void count_rule(__u32 value, __u64 bytes)
{
	__u32 slot = (value & VALUE_SLOT) - 1, shard;
	struct counter *counter;

	if (!value)
		return;
	if (!counter_shards) {
		add(bpf_map_lookup_elem(&rule_counters, &slot), bytes);
		return;
	}
	shard = bpf_get_smp_processor_id() % counter_shards;
	slot = (slot / SHARD_SLOTS * counter_shards + shard) * SHARD_SLOTS + slot % SHARD_SLOTS;
	counter = bpf_map_lookup_elem(&rule_shards, &slot);
	if (!shards_shared) {
		add(counter, bytes);
		return;
	}
	if (!counter)
		return;
	__sync_fetch_and_add(&counter->packets, 1);
	__sync_fetch_and_add(&counter->bytes, bytes);
}

static __always_inline void describe(struct event *event, const struct scratch *scratch, __u32 ifindex)
{
	const struct packet *packet = &scratch->packet;

	event->time = bpf_ktime_get_ns();
	event->generation = scratch->generation;
	event->source[0] = packet->source[0];
	event->source[1] = packet->source[1];
	event->destination[0] = packet->destination[0];
	event->destination[1] = packet->destination[1];
	event->source_port = packet->source_port;
	event->destination_port = packet->destination_port;
	event->policy = policy_id;
	event->ifindex = ifindex;
	event->length = scratch->length;
	event->rule = scratch->verdict.rule;
	event->audit = scratch->verdict.audit;
	event->service = packet->service;
	event->protocol = packet->protocol;
	event->version = packet->version;
	event->hook = scratch->hook;
	event->reason = scratch->verdict.reason;
	event->pass = scratch->verdict.pass;
	event->audit_pass = scratch->verdict.audit_pass;
}

static __noinline int tell(struct scratch *scratch, __u32 ifindex)
{
	__u32 zero = 0;
	struct event *event;

	if (explain) {
		event = bpf_map_lookup_elem(&explained, &zero);
		if (event)
			describe(event, scratch, ifindex);
	}
	if (!sample_rate || bpf_get_prandom_u32() % sample_rate)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	describe(event, scratch, ifindex);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __always_inline void count(const struct verdict *verdict, __u32 hook, __u32 length)
{
	__u32 total = (verdict->reason * 2 + hook) * 2 + verdict->pass;

	add(bpf_map_lookup_elem(&totals, &total), length);
	count_rule(verdict->rule, length);
	/* a rule of an audit policy counts where it would have decided */
	if (verdict->audit != verdict->rule)
		count_rule(verdict->audit, length);
	if (verdict->pass && !verdict->audit_pass)
		add(bpf_map_lookup_elem(&audit_drops, &hook), length);
}

static __always_inline void report(struct scratch *scratch, __u32 ifindex)
{
	count(&scratch->verdict, scratch->hook, scratch->length);
	if (explain || sample_rate)
		tell(scratch, ifindex);
}

#endif
