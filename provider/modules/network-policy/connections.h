/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Connections and fragments: what passes because something before it did. */
#ifndef NETWORK_POLICY_CONNECTIONS_H
#define NETWORK_POLICY_CONNECTIONS_H

#include "rules.h"

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
	/* a peer that opens it anew: what the other side closed is over, too */
	if (packet->flags & PACKET_OPENING)
		flow->closing[SIDE_ORIGINAL] = flow->closing[SIDE_REPLY] = 0;
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

static __always_inline void judge_packet(void *cells, struct scratch *scratch)
{
	const struct packet *packet = &scratch->packet;
	struct verdict *verdict = &scratch->verdict;
	__u32 judging, hook = scratch->hook & 1, side = SIDE_NONE;
	int answered = 0, high = 0, known = 0, cached = 0;
	int tracked = !(untracked && scratch->flags & FLAG_UNTRACKED) && packet->flags & PACKET_TRACKED;
	struct flow *flow = NULL;
	struct flow_key key;

	/* not for each packet: the clock may cost more than all the rest */
	if (packet->fragment)
		scratch->now = clock_now();
	if (packet->fragment == FRAGMENT_LATER) {
		if (follows_first_fragment(scratch))
			return;
	} else if (tracked) {
		high = flow_key_of(packet, &key);
		flow = bpf_map_lookup_elem(&established, &key);
		answered = !!flow;
		if (!flow)
			flow = bpf_map_lookup_elem(&half_open, &key);
		if (flow)
			scratch->now = clock_now();
	}
	/* a connection that is over, or that this packet cannot belong to, is as none */
	if (flow && !is_expired(flow, scratch, answered)) {
		if (flow->originator_high == high)
			side = SIDE_ORIGINAL;
		else if (!(packet->flags & PACKET_OPENING) && flow->generation[~hook & 1])
			side = SIDE_REPLY;
	}

	judging = side == SIDE_REPLY ? ~hook & 1 : hook;
	if (flow && side != SIDE_NONE && flow->generation[judging & 1]) {
		/* judged already there; once more if the policies changed. What another interface judged, that one does again */
		known = 1;
		cached = flow->generation[judging & 1] == scratch->generation ||
			 (side == SIDE_REPLY && flow->policy[judging & 1] != policy_id);
	}
	if (flow && cached) {
		verdict->rule = flow->rule[judging & 1];
		verdict->audit = flow->audit[judging & 1];
		verdict->audit_pass = flow->audit_pass[judging & 1];
		verdict->pass = 1;
	} else {
		ask(&scratch->question, packet, judging, side == SIDE_REPLY);
		if (flow && known)
			scratch->question.service = flow->service;
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
			return;
		}
		if (!cached)
			stamp(flow, judging, scratch);
		if (packet->flags & PACKET_ERROR)
			return;
		pass_flow(flow, scratch, side);
		if (side == SIDE_REPLY && !answered) {
			bpf_map_update_elem(&established, &key, flow, BPF_ANY);
			bpf_map_delete_elem(&half_open, &key);
		}
		return;
	}
	if (!tracked || !verdict->pass || packet->flags & (PACKET_ERROR | PACKET_NEVER_OPENS))
		return;
	if (flow && side == SIDE_ORIGINAL) {
		/* opened at another hook, and judged at this one now */
		stamp(flow, hook, scratch);
		pass_flow(flow, scratch, SIDE_ORIGINAL);
		return;
	}
	scratch->now = clock_now();
	__builtin_memset(&scratch->fresh, 0, sizeof(scratch->fresh));
	scratch->fresh.originator_high = high;
	scratch->fresh.service = packet->service;
	stamp(&scratch->fresh, hook, scratch);
	pass_flow(&scratch->fresh, scratch, SIDE_ORIGINAL);
	/* it takes the place of one that is over, or of the other direction */
	if (answered)
		bpf_map_delete_elem(&established, &key);
	bpf_map_update_elem(&half_open, &key, &scratch->fresh, BPF_ANY);
}

#endif
