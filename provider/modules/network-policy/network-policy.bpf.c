// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Judges packets by the policies of an interface: docs/network-policy.md. All rules of a generation lie in one array of
 * cells, which a packet looks up once. Runs on Linux 5.10 and later.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lookup.h"
#include "network-policy.h"
#include "parse.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SECOND 1000000000ULL

/* of the policies that this program was loaded for; never used again on the host */
const volatile __u32 policy_id = 1;
/* 0 where frames begin with the IP header: tunnels and the like */
const volatile __u8 link_header = ETH_HLEN;
/* more than 0: rule_shards counts in place of rule_counters */
const volatile __u32 counter_shards = 0;
/* one in so many judged packets is an event; 0: none */
const volatile __u32 sample_rate = 0;
/* the verdict goes to `explained`, too: for test-runs */
const volatile __u8 explain = 0;
/* ticks are jiffies, which cost less to read than nanoseconds; `timeouts` are in ticks */
const volatile __u8 clock_jiffies = 0;
const volatile __u64 timeouts[TIMEOUTS] = {
	[TIMEOUT_TCP_HALF_OPEN] = 60 * SECOND,
	[TIMEOUT_TCP] = 86400 * SECOND,
	[TIMEOUT_TCP_FIN] = 120 * SECOND,
	[TIMEOUT_TCP_RST] = 10 * SECOND,
	[TIMEOUT_UDP_HALF_OPEN] = 30 * SECOND,
	[TIMEOUT_UDP] = 180 * SECOND,
	[TIMEOUT_ICMP] = 30 * SECOND,
	[TIMEOUT_HALF_OPEN] = 60 * SECOND,
	[TIMEOUT_OTHER] = 600 * SECOND,
	[TIMEOUT_FRAGMENT] = 30 * SECOND,
};

/* two slots of generations */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(map_flags, BPF_F_INNER_MAP);
		__uint(max_entries, 1);
		__type(key, __u32);
		__uint(value_size, sizeof(struct cell));
	});
} generations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct selector);
} selectors SEC(".maps");

/* connections without a reply so far, apart: what floods this table displaces no answered connection */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow_key);
	__type(value, struct flow);
} half_open SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow_key);
	__type(value, struct flow);
} established SEC(".maps");

/* first fragments that passed */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

/* by slot */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counter);
} rule_counters SEC(".maps");

/* by slot * counter_shards + shard */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counter);
} rule_shards SEC(".maps");

/* by (reason * 2 + hook) * 2 + whether it passed */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS * 4);
	__type(key, __u32);
	__type(value, struct counter);
} totals SEC(".maps");

/* by hook, what enforcing the audit policies would drop */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct counter);
} audit_drops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct event);
} explained SEC(".maps");

struct verdict {
	__u32 rule;
	__u32 audit;
	__u8 pass;
	__u8 audit_pass;
	__u8 reason;
	__u8 audited;
};

/* one packet's judgement; not on the stack, which is too small, and where the verifier would tell every case apart */
struct scratch {
	__u64 generation;
	__u64 now;
	__u32 flags;
	__u32 labels;
	__u32 sets[2][2]; /* cells, by hook: enforced, audited */
	__u32 slot; /* of the generation */
	__u32 hook;
	__u32 length;
	struct packet packet;
	struct question question;
	struct verdict verdict;
	struct flow fresh;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline __u64 ticks(void)
{
	return clock_jiffies ? bpf_jiffies64() : bpf_ktime_get_ns();
}

static __always_inline struct scratch *current_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

/* a global function: the verifier walks it once, and not once for each way that leads to it */
__noinline __u32 lookup_set(__u32 slot, __u32 set)
{
	struct scratch *scratch = current_scratch();
	/* the same array as all through the packet: a slot is filled again after a grace period only */
	void *cells = bpf_map_lookup_elem(&generations, &slot);

	if (!scratch || !cells)
		return BROKEN;
	return strongest_in_set(cells, set, scratch->labels, &scratch->question);
}

/* by the rules of `hook`, what `question` asks */
static __always_inline void judge_by_rules(void *cells, struct scratch *scratch, __u32 hook)
{
	struct verdict *verdict = &scratch->verdict;
	int named = !!(scratch->flags & FLAG_NAMED << (hook & 1));
	__u32 enforced = scratch->sets[hook & 1][0], audited = scratch->sets[hook & 1][1];
	__u32 rule = 0, audit;

	if (enforced)
		rule = lookup_set(scratch->slot, enforced);
	audit = rule;
	if (audited)
		audit = stronger(cells, scratch->labels, rule, lookup_set(scratch->slot, audited));

	verdict->audited = !!(scratch->flags & FLAG_AUDITED << (hook & 1));
	verdict->reason = rule ? REASON_RULE : named ? REASON_DEFAULT : REASON_UNNAMED;
	verdict->pass = rule ? !(rule & VALUE_DENY) : !named;
	if (rule == BROKEN || audit == BROKEN) {
		verdict->reason = REASON_BROKEN;
		verdict->pass = 0;
		rule = audit = 0;
	} else if (rule & VALUE_PARTIAL) {
		verdict->reason = REASON_FRAGMENT_UNKNOWN;
		verdict->pass = !named;
		rule = 0;
	}
	verdict->audit_pass = verdict->audited ? audit && !(audit & (VALUE_DENY | VALUE_PARTIAL)) : verdict->pass;
	verdict->rule = rule;
	verdict->audit = audit & VALUE_PARTIAL ? 0 : audit;
}

static __always_inline void ask(struct question *question, const struct packet *packet, __u32 hook, int reversed)
{
	/* source of ingress, destination of egress */
	int source = (hook == INGRESS) != reversed;

	question->address[0] = source ? packet->source[0] : packet->destination[0];
	question->address[1] = source ? packet->source[1] : packet->destination[1];
	question->service = packet->service;
	question->protocol = packet->protocol;
	question->version = packet->version;
	question->later_fragment = packet->fragment == FRAGMENT_LATER;
}

/* whether the packet's source is the key's high end */
static __always_inline int flow_key_of(const struct packet *packet, struct flow_key *key)
{
	int high;

	if (packet->source[0] != packet->destination[0])
		high = packet->source[0] > packet->destination[0];
	else if (packet->source[1] != packet->destination[1])
		high = packet->source[1] > packet->destination[1];
	else
		high = packet->source_port > packet->destination_port;

	key->low_address[0] = high ? packet->destination[0] : packet->source[0];
	key->low_address[1] = high ? packet->destination[1] : packet->source[1];
	key->high_address[0] = high ? packet->source[0] : packet->destination[0];
	key->high_address[1] = high ? packet->source[1] : packet->destination[1];
	key->low_port = high ? packet->destination_port : packet->source_port;
	key->high_port = high ? packet->source_port : packet->destination_port;
	key->protocol = packet->protocol | packet->version << 8;
	key->pad = 0;
	return high;
}

static __always_inline __u64 timeout_of(struct flow *flow, __u8 protocol, int answered)
{
	if (protocol == IPPROTO_TCP) {
		if ((flow->closing[0] | flow->closing[1]) & CLOSING_RST)
			return timeouts[TIMEOUT_TCP_RST];
		if (flow->closing[0] & flow->closing[1] & CLOSING_FIN)
			return timeouts[TIMEOUT_TCP_FIN];
		return answered ? timeouts[TIMEOUT_TCP] : timeouts[TIMEOUT_TCP_HALF_OPEN];
	}
	if (protocol == IPPROTO_UDP)
		return answered ? timeouts[TIMEOUT_UDP] : timeouts[TIMEOUT_UDP_HALF_OPEN];
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		return timeouts[TIMEOUT_ICMP];
	return answered ? timeouts[TIMEOUT_OTHER] : timeouts[TIMEOUT_HALF_OPEN];
}

enum side {
	SIDE_ORIGINAL,
	SIDE_REPLY,
	SIDE_NONE,
};

static __always_inline void pass_flow(struct flow *flow, struct scratch *scratch, __u32 side)
{
	const struct packet *packet = &scratch->packet;
	__u8 state = 0;

	side &= 1;
	/* each side has one writer: its packets come one after the other */
	flow->seen[side] = scratch->now;
	flow->passed[side].packets++;
	flow->passed[side].bytes += scratch->length;
	if (packet->flags & PACKET_FIN)
		state |= CLOSING_FIN;
	if (packet->flags & PACKET_RST)
		state |= CLOSING_RST;
	if (packet->flags & PACKET_OPENING)
		flow->closing[side] = 0;
	else if (state & ~flow->closing[side])
		flow->closing[side] |= state;
}

static __always_inline void stamp(struct flow *flow, __u32 hook, struct scratch *scratch)
{
	hook &= 1;
	flow->rule[hook] = scratch->verdict.rule;
	flow->audit[hook] = scratch->verdict.audit;
	flow->audit_pass[hook] = scratch->verdict.audit_pass;
	flow->policy[hook] = policy_id;
	flow->generation[hook] = scratch->generation;
}

static __always_inline void end_flow(struct flow *flow, struct flow_key *key, __u32 hook)
{
	flow->generation[hook & 1] = 0;
	if (flow->generation[~hook & 1])
		return;
	bpf_map_delete_elem(&established, key);
	bpf_map_delete_elem(&half_open, key);
}

static __always_inline int is_expired(struct flow *flow, struct scratch *scratch, int answered)
{
	__u64 seen = flow->seen[0] > flow->seen[1] ? flow->seen[0] : flow->seen[1];

	/* another CPU may have seen a packet after this one's clock was read */
	return scratch->now > seen && scratch->now - seen > timeout_of(flow, scratch->packet.protocol, answered);
}

static __always_inline void fragment_key_of(struct scratch *scratch, struct fragment_key *key)
{
	const struct packet *packet = &scratch->packet;

	__builtin_memset(key, 0, sizeof(*key));
	key->source[0] = packet->source[0];
	key->source[1] = packet->source[1];
	key->destination[0] = packet->destination[0];
	key->destination[1] = packet->destination[1];
	key->id = packet->fragment_id;
	key->policy = policy_id;
	key->protocol = packet->protocol;
	key->version = packet->version;
	key->hook = scratch->hook;
}

static __noinline int follows_first_fragment(struct scratch *scratch)
{
	struct verdict *verdict = &scratch->verdict;
	struct fragment_key key;
	struct fragment *first;

	fragment_key_of(scratch, &key);
	first = bpf_map_lookup_elem(&fragments, &key);
	if (!first || (scratch->now > first->seen && scratch->now - first->seen > timeouts[TIMEOUT_FRAGMENT]))
		return 0;
	verdict->rule = first->rule;
	verdict->audit = first->audit;
	verdict->audit_pass = first->audit_pass;
	verdict->reason = REASON_FRAGMENT;
	verdict->pass = 1;
	return 1;
}

static __noinline int record_first_fragment(struct scratch *scratch)
{
	struct fragment first = {
		.seen = scratch->now,
		.rule = scratch->verdict.rule,
		.audit = scratch->verdict.audit,
		.audit_pass = scratch->verdict.audit_pass,
	};
	struct fragment_key key;

	fragment_key_of(scratch, &key);
	return bpf_map_update_elem(&fragments, &key, &first, BPF_ANY);
}

static __noinline int judge_packet(void *cells, struct scratch *scratch)
{
	const struct packet *packet = &scratch->packet;
	struct verdict *verdict = &scratch->verdict;
	__u32 judging, hook = scratch->hook & 1, side = SIDE_NONE;
	int answered = 0, high = 0, known = 0, cached = 0;
	struct flow *flow = NULL;
	struct flow_key key;

	if (packet->fragment == FRAGMENT_LATER) {
		if (follows_first_fragment(scratch))
			return 0;
	} else if (packet->flags & PACKET_TRACKED) {
		high = flow_key_of(packet, &key);
		flow = bpf_map_lookup_elem(&established, &key);
		answered = !!flow;
		if (!flow)
			flow = bpf_map_lookup_elem(&half_open, &key);
	}
	/* a connection that is over, or that this packet cannot belong to, is as none */
	if (flow && !is_expired(flow, scratch, answered)) {
		if (flow->originator_high == high)
			side = SIDE_ORIGINAL;
		else if (!(packet->flags & PACKET_OPENING) && flow->generation[~hook & 1])
			side = SIDE_REPLY;
	}

	judging = side == SIDE_REPLY ? ~hook & 1 : hook;
	ask(&scratch->question, packet, judging, side == SIDE_REPLY);
	if (flow && side != SIDE_NONE && flow->generation[judging & 1]) {
		/* judged already there; once more if the policies changed. What another interface judged, that one does again */
		known = 1;
		cached = flow->generation[judging & 1] == scratch->generation ||
			 (side == SIDE_REPLY && flow->policy[judging & 1] != policy_id);
		scratch->question.service = flow->service;
	}
	if (flow && cached) {
		verdict->rule = flow->rule[judging & 1];
		verdict->audit = flow->audit[judging & 1];
		verdict->audit_pass = flow->audit_pass[judging & 1];
		verdict->pass = 1;
	} else {
		judge_by_rules(cells, scratch, judging);
	}

	if (flow && known) {
		if (!cached && !verdict->pass && verdict->reason != REASON_BROKEN && answered &&
		    scratch->flags & FLAG_KEEP && flow->policy[judging & 1] == policy_id) {
			verdict->pass = 1;
			verdict->rule = 0;
		}
		if (verdict->reason != REASON_BROKEN)
			verdict->reason = REASON_CONNECTION;
		if (!verdict->pass) {
			end_flow(flow, &key, judging);
			return 0;
		}
		if (!cached)
			stamp(flow, judging, scratch);
		if (packet->flags & PACKET_ERROR)
			return 0;
		pass_flow(flow, scratch, side);
		if (side == SIDE_REPLY && !answered) {
			bpf_map_update_elem(&established, &key, flow, BPF_ANY);
			bpf_map_delete_elem(&half_open, &key);
		}
		return 0;
	}
	if (!verdict->pass || !(packet->flags & PACKET_TRACKED) ||
	    packet->flags & (PACKET_ERROR | PACKET_NEVER_OPENS))
		return 0;
	if (flow && side == SIDE_ORIGINAL) {
		/* opened at another hook, and judged at this one now */
		stamp(flow, hook, scratch);
		pass_flow(flow, scratch, SIDE_ORIGINAL);
		return 0;
	}
	__builtin_memset(&scratch->fresh, 0, sizeof(scratch->fresh));
	scratch->fresh.originator_high = high;
	scratch->fresh.service = packet->service;
	stamp(&scratch->fresh, hook, scratch);
	pass_flow(&scratch->fresh, scratch, SIDE_ORIGINAL);
	/* it takes the place of one that is over, or of the other direction */
	if (answered)
		bpf_map_delete_elem(&established, &key);
	bpf_map_update_elem(&half_open, &key, &scratch->fresh, BPF_ANY);
	return 0;
}

/* neighbour discovery, multicast listeners, IGMP, the DHCP client */
static __always_inline int is_infrastructure(const struct packet *packet, __u32 hook)
{
	__u32 type = packet->service >> 8;
	__u32 client, server;

	if (packet->fragment || packet->flags & PACKET_ERROR)
		return 0;
	if (packet->protocol == IPPROTO_IGMP)
		return packet->version == 4;
	if (packet->protocol == IPPROTO_ICMPV6)
		return packet->version == 6 && (type == 143 || (type >= 130 && type <= 137));
	if (packet->protocol != IPPROTO_UDP)
		return 0;
	client = packet->version == 4 ? 68 : 546;
	server = packet->version == 4 ? 67 : 547;
	return packet->source_port == (hook == EGRESS ? client : server) &&
	       packet->destination_port == (hook == EGRESS ? server : client);
}

static __always_inline void add(struct counter *counter, __u64 bytes)
{
	if (!counter)
		return;
	counter->packets++;
	counter->bytes += bytes;
}

static __always_inline void count_rule(__u32 value, __u64 bytes)
{
	__u32 slot = (value & VALUE_SLOT) - 1;
	struct counter *counter;

	if (!value)
		return;
	if (!counter_shards) {
		add(bpf_map_lookup_elem(&rule_counters, &slot), bytes);
		return;
	}
	slot = slot * counter_shards + bpf_get_smp_processor_id() % counter_shards;
	counter = bpf_map_lookup_elem(&rule_shards, &slot);
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

static __noinline int report(struct scratch *scratch, __u32 ifindex)
{
	struct verdict *verdict = &scratch->verdict;
	__u32 total = (verdict->reason * 2 + scratch->hook) * 2 + verdict->pass;
	__u32 hook = scratch->hook, zero = 0;
	struct event *event;

	add(bpf_map_lookup_elem(&totals, &total), scratch->length);
	count_rule(verdict->rule, scratch->length);
	/* a rule of an audit policy counts where it would have decided */
	if (verdict->audit != verdict->rule)
		count_rule(verdict->audit, scratch->length);
	if (verdict->pass && !verdict->audit_pass)
		add(bpf_map_lookup_elem(&audit_drops, &hook), scratch->length);

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

/* the generation that judges now */
static __always_inline void *current_cells(struct scratch *scratch)
{
	__u32 zero = 0, slot;
	struct selector *selector = bpf_map_lookup_elem(&selectors, &zero);
	__u8 state;

	if (!selector)
		return NULL;
	state = *(volatile __u8 *)&selector->state;
	slot = state & SELECT_CURRENT;
	if (state & SELECT_PENDING && bpf_ktime_get_ns() > selector->deadline)
		slot = state / SELECT_PREVIOUS & 1;
	scratch->slot = slot;
	return bpf_map_lookup_elem(&generations, &slot);
}

static __always_inline struct scratch *scratch_for(__u32 hook, __u32 length)
{
	struct scratch *scratch = current_scratch();

	if (!scratch)
		return NULL;
	__builtin_memset(&scratch->packet, 0, sizeof(scratch->packet));
	__builtin_memset(&scratch->verdict, 0, sizeof(scratch->verdict));
	scratch->generation = 0;
	scratch->hook = hook;
	scratch->length = length;
	return scratch;
}

/* whether the packet passes; a global function, as lookup_set */
__noinline int judge(__u32 parsed, __u32 ifindex)
{
	struct scratch *scratch = current_scratch();
	struct verdict *verdict;
	struct cell *header;
	void *cells;
	__u32 hook;
	int named;

	if (!scratch)
		return 0;
	verdict = &scratch->verdict;
	hook = scratch->hook & 1;
	cells = current_cells(scratch);
	header = cells ? cell_at(cells, 0) : NULL;
	if (!header || header->words[HEADER_FORMAT] != 1) {
		verdict->reason = REASON_BROKEN;
		report(scratch, ifindex);
		return 0;
	}
	scratch->generation = (__u64)header->words[HEADER_GENERATION + 1] << 32 | header->words[HEADER_GENERATION];
	scratch->flags = header->words[HEADER_FLAGS];
	scratch->labels = header->words[HEADER_LABELS];
	scratch->sets[INGRESS][0] = header->words[HEADER_SETS];
	scratch->sets[INGRESS][1] = header->words[HEADER_SETS + 1];
	scratch->sets[EGRESS][0] = header->words[HEADER_SETS + 2];
	scratch->sets[EGRESS][1] = header->words[HEADER_SETS + 3];
	named = !!(scratch->flags & FLAG_NAMED << hook);
	verdict->audited = !!(scratch->flags & FLAG_AUDITED << hook);

	if (parsed == PARSED_OTHER) {
		verdict->reason = REASON_NOT_IP;
		verdict->pass = verdict->audit_pass = 1;
	} else if (!(scratch->flags & FLAG_NOT_EXEMPT) &&
		   (parsed == PARSED_ARP || (parsed == PARSED_PACKET && is_infrastructure(&scratch->packet, hook)))) {
		verdict->reason = REASON_INFRASTRUCTURE;
		verdict->pass = verdict->audit_pass = 1;
	} else if (parsed != PARSED_PACKET) {
		verdict->reason = !named ? REASON_UNNAMED : parsed == PARSED_ARP ? REASON_DEFAULT : REASON_MALFORMED;
		verdict->pass = !named;
		verdict->audit_pass = verdict->pass && !verdict->audited;
	} else {
		scratch->now = ticks();
		judge_packet(cells, scratch);
		if (scratch->packet.fragment == FRAGMENT_FIRST && verdict->pass)
			record_first_fragment(scratch);
	}
	report(scratch, ifindex);
	return verdict->pass;
}

static __always_inline __u32 parse_skb(struct __sk_buff *skb, struct packet *packet)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;

	if (!link_header)
		return parse(data, end, skb->protocol, packet);
	if ((void *)(eth + 1) > end)
		return PARSED_MALFORMED;
	return parse(eth + 1, end, eth->h_proto, packet);
}

static __always_inline int judge_skb(struct __sk_buff *skb, __u32 hook)
{
	struct scratch *scratch = scratch_for(hook, skb->len);
	__u32 parsed;

	if (!scratch)
		return TC_ACT_SHOT;
	parsed = parse_skb(skb, &scratch->packet);
	/* headers may lie beyond the linear part */
	if (parsed == PARSED_MALFORMED && skb->data_end - skb->data < skb->len) {
		if (!bpf_skb_pull_data(skb, skb->len < 512 ? skb->len : 512)) {
			__builtin_memset(&scratch->packet, 0, sizeof(scratch->packet));
			parsed = parse_skb(skb, &scratch->packet);
		}
	}
	/* TC_ACT_UNSPEC is TCX_NEXT: whoever comes next has a say, too */
	return judge(parsed, skb->ifindex) ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

SEC("tc")
int judge_ingress(struct __sk_buff *skb)
{
	return judge_skb(skb, INGRESS);
}

SEC("tc")
int judge_egress(struct __sk_buff *skb)
{
	return judge_skb(skb, EGRESS);
}

SEC("xdp")
int judge_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct scratch *scratch = scratch_for(INGRESS, end - data);
	struct ethhdr *eth = data;
	__u32 parsed = PARSED_MALFORMED;

	if (!scratch)
		return XDP_DROP;
	if ((void *)(eth + 1) <= end)
		parsed = parse(eth + 1, end, eth->h_proto, &scratch->packet);
	return judge(parsed, ctx->ingress_ifindex) ? XDP_PASS : XDP_DROP;
}
