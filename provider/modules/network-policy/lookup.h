/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the rule sets of a generation say of a question; provider/network-policy/lookup.ts is its twin. */
#ifndef NETWORK_POLICY_LOOKUP_H
#define NETWORK_POLICY_LOOKUP_H

#include "address-class.h"

static __always_inline __u32 strongest_below(void *cells, __u32 reference)
{
	struct cell *cell;

	if (is_leaf(reference) || reference == BROKEN)
		return reference;
	cell = cell_at(cells, reference & CELL_NUMBER);
	return cell ? cell->words[15] | VALUE_PARTIAL : BROKEN;
}

/* of a row for a whole protocol: its only value, or the strongest of several, flagged */
static __noinline __u32 walk_protocol(void *cells, __u32 reference, __u32 protocol)
{
	__u32 kind = reference >> KIND_SHIFT;
	struct cell *cell;

	if (is_leaf(reference))
		return reference;
	cell = cell_at(cells, reference & CELL_NUMBER);
	if (!cell)
		return BROKEN;
	if (kind == KIND_SKIP) {
		__u32 mask = cell->words[5];

		if (((protocol << 24 ^ cell->words[1]) & mask) >> 24)
			return cell->words[9];
		if (mask & 0xffffff)
			return cell->words[15] | VALUE_PARTIAL;
		reference = cell->words[8];
	} else {
		reference = find_run(cells, cell, kind, protocol & 255);
	}
	return strongest_below(cells, reference);
}

static __always_inline __u32 row(void *cells, __u32 root, struct question *question)
{
	if (is_leaf(root))
		return root;
	if (question->later_fragment)
		return walk_protocol(cells, root, question->protocol);
	return walk4(cells, root, (__u64)question->protocol << 56 | (__u64)question->service << 40);
}

/* as `row`, of a row about one protocol */
static __always_inline __u32 row_below(void *cells, __u32 service, __u32 narrow, struct question *question)
{
	if ((service >> 16 & 255) != question->protocol)
		return 0;
	if (service & RECORD_HAS_SERVICE) {
		if (question->later_fragment)
			return narrow | VALUE_PARTIAL;
		return (service & 0xffff) == question->service ? narrow : 0;
	}
	if (question->later_fragment)
		return strongest_below(cells, narrow);
	return is_leaf(narrow) ? narrow : walk4(cells, narrow, (__u64)question->service << 48);
}

static __noinline __u32 stronger_of_two(void *cells, __u32 labels, __u32 a, __u32 b)
{
	if (a == BROKEN || b == BROKEN)
		return BROKEN;
	if ((a ^ b) & VALUE_DENY)
		return a & VALUE_DENY ? a : b;
	a = word_at(cells, labels, (a & VALUE_SLOT) - 1) <= word_at(cells, labels, (b & VALUE_SLOT) - 1) ? a : b;
	return a;
}

/* deny beats allow, then the lower label; BROKEN beats all */
static __always_inline __u32 stronger(void *cells, __u32 labels, __u32 a, __u32 b)
{
	if (!a || !b)
		return a | b;
	return stronger_of_two(cells, labels, a, b);
}

/* the strongest value over the layers of a rule set */
static __always_inline __u32 strongest_in_set(void *cells, __u32 set_cell, __u32 labels, struct question *question)
{
	struct cell *set = cell_at(cells, set_cell);
	__u32 class, narrow, service, value, at;
	struct cell *record, *rest;

	if (!set)
		return BROKEN;
	class = address_class(cells, set, question);
	if (class == BROKEN)
		return BROKEN;
	record = cell_at(cells, set->words[SET_RECORDS] + class / RECORDS);
	if (!record)
		return BROKEN;
	at = class % RECORDS * 2;
	narrow = record->words[at + RECORD_NARROW];
	service = record->words[at + RECORD_SERVICE];
	narrow = service & ~RECORD_HAS_REST ? row_below(cells, service, narrow, question) : row(cells, narrow, question);
	value = stronger(cells, labels, row(cells, set->words[SET_EVERYONE], question), narrow);
	if (!(service & RECORD_HAS_REST))
		return value;
	rest = cell_at(cells, set->words[SET_RESTS] + class / RECORDS);
	if (!rest)
		return BROKEN;
	value = stronger(cells, labels, value, rest->words[at + REST_ONLY]);
	return stronger(cells, labels, value, row(cells, rest->words[at + REST_WIDE], question));
}

#endif
