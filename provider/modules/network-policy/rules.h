/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the rules of a generation say of a question. */
#ifndef NETWORK_POLICY_RULES_H
#define NETWORK_POLICY_RULES_H

#include "maps.h"

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

/* what a packet meets by the strongest rule, and by the strongest with the audited ones, of the policies for `hook` */
static __always_inline void conclude(struct verdict *verdict, __u32 rule, __u32 audit, __u32 flags, __u32 hook)
{
	int named = !!(flags & FLAG_NAMED << (hook & 1));

	verdict->audited = !!(flags & FLAG_AUDITED << (hook & 1));
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

/* by the rules of `hook`, what `question` asks */
static __always_inline void judge_by_rules(void *cells, struct scratch *scratch, __u32 hook)
{
	__u32 enforced = scratch->sets[hook & 1][0], audited = scratch->sets[hook & 1][1];
	__u32 rule = 0, audit;

	if (enforced)
		rule = lookup_set(scratch->slot, enforced);
	audit = rule;
	if (audited)
		audit = stronger(cells, scratch->labels, rule, lookup_set(scratch->slot, audited));
	conclude(&scratch->verdict, rule, audit, scratch->flags, hook);
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

#endif
