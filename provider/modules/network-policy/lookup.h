/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Looks addresses and services up in the cells of one generation; provider/network-policy/lookup.ts is its twin. */
#ifndef NETWORK_POLICY_LOOKUP_H
#define NETWORK_POLICY_LOOKUP_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "network-policy.h"

/* no payload and no value is as large */
#define BROKEN 0xffffffffU

/* 16 bytes of an IPv6 address from the first bit on, a node or a skip for each at most */
#define WALK_STEPS 18

struct question {
	__u64 address[2];
	__u16 service;
	__u8 protocol;
	__u8 version;
	__u8 later_fragment;
};

static __always_inline struct cell *cell_at(void *cells, __u32 cell)
{
	return bpf_map_lookup_elem(cells, &cell);
}

static __always_inline __u32 word_at(void *cells, __u32 first, __u32 word)
{
	struct cell *cell = cell_at(cells, first + word / CELL_WORDS);

	return cell ? cell->words[word % CELL_WORDS] : BROKEN;
}

static __always_inline __u32 ones(__u32 word)
{
	word -= (word >> 1) & 0x55555555;
	word = (word & 0x33333333) + ((word >> 2) & 0x33333333);
	return (((word + (word >> 4)) & 0x0f0f0f0f) * 0x01010101) >> 24;
}

/* the reference for one byte */
static __always_inline __u32 find_run(void *cells, struct cell *node, __u32 kind, __u32 byte)
{
	__u32 word = (byte >> 5) & 7;
	__u32 before = (node->words[8 + (word >> 2)] >> (8 * (word & 3))) & 255;
	__u32 run = before + ones(node->words[word] & (0xffffffffU >> (31 - (byte & 31)))) - 1;

	if (kind == KIND_SPREAD)
		return word_at(cells, node->words[10], run);
	/* five at most; the mask is what a verifier of 5.10 understands */
	return node->words[(10 + run) % CELL_WORDS];
}

static __always_inline __u64 wide(struct cell *cell, __u32 word)
{
	return (__u64)cell->words[word + 1] << 32 | cell->words[word];
}

/* the payload for a key of 128 bits, or BROKEN */
static __noinline __u32 walk(void *cells, __u32 reference, __u64 high, __u64 low)
{
	/* as in parse.h */
#pragma unroll
	for (int i = 0; i < WALK_STEPS; i++) {
		__u32 kind = reference >> KIND_SHIFT;
		__u32 drop = 8;
		struct cell *cell;

		if (kind == KIND_LEAF)
			return reference;
		cell = cell_at(cells, reference & PAYLOAD);
		if (!cell)
			return BROKEN;
		if (kind == KIND_SKIP) {
			if (((high ^ wide(cell, 0)) & wide(cell, 4)) || ((low ^ wide(cell, 2)) & wide(cell, 6)))
				return cell->words[9] & PAYLOAD;
			reference = cell->words[8];
			drop = cell->words[10] & 127;
		} else {
			reference = find_run(cells, cell, kind, high >> 56);
			if (reference == BROKEN)
				return BROKEN;
		}
		if (drop >= 64) {
			high = low << (drop - 64);
			low = 0;
		} else if (drop) {
			high = high << drop | low >> (64 - drop);
			low <<= drop;
		}
	}
	return BROKEN;
}

/* of a row for a whole protocol: its only value, or the strongest of several, flagged */
static __noinline __u32 walk_protocol(void *cells, __u32 reference, __u32 protocol)
{
	__u32 kind = reference >> KIND_SHIFT;
	struct cell *cell;

	if (kind == KIND_LEAF)
		return reference;
	cell = cell_at(cells, reference & PAYLOAD);
	if (!cell)
		return BROKEN;
	if (kind == KIND_SKIP) {
		__u32 mask = cell->words[5];

		if (((protocol << 24 ^ cell->words[1]) & mask) >> 24)
			return cell->words[9] & PAYLOAD;
		if (mask & 0xffffff)
			return cell->words[15] | VALUE_PARTIAL;
		reference = cell->words[8];
	} else {
		reference = find_run(cells, cell, kind, protocol & 255);
	}
	if (reference >> KIND_SHIFT == KIND_LEAF)
		return reference;
	if (reference == BROKEN)
		return BROKEN;
	cell = cell_at(cells, reference & PAYLOAD);
	return cell ? cell->words[15] | VALUE_PARTIAL : BROKEN;
}

static __always_inline __u32 row(void *cells, __u32 root, struct question *question)
{
	if (!root)
		return 0;
	if (question->later_fragment)
		return walk_protocol(cells, root, question->protocol);
	return walk(cells, root, (__u64)question->protocol << 56 | (__u64)question->service << 40, 0);
}

/* deny beats allow, then the lower label; BROKEN beats all */
static __noinline __u32 stronger(void *cells, __u32 labels, __u32 a, __u32 b)
{
	if (a == BROKEN || b == BROKEN)
		return BROKEN;
	if (!a || !b)
		return a | b;
	if ((a ^ b) & VALUE_DENY)
		return a & VALUE_DENY ? a : b;
	a = word_at(cells, labels, (a & VALUE_SLOT) - 1) <= word_at(cells, labels, (b & VALUE_SLOT) - 1) ? a : b;
	return a;
}

/* the strongest value over the layers of a rule set */
static __always_inline __u32 strongest_in_set(void *cells, __u32 set_cell, __u32 labels, struct question *question)
{
	__u64 high = question->address[0], low = question->address[1];
	struct cell *set = cell_at(cells, set_cell);
	__u32 root, table, class, narrow, wide, value;
	struct cell *record;

	if (!set)
		return BROKEN;
	root = question->version == 4 ? set->words[SET_ROOT4] : set->words[SET_ROOT6];
	table = question->version == 4 ? set->words[SET_TABLE4] : set->words[SET_TABLE6];
	if (table) {
		root = word_at(cells, table, high >> 48);
		high = high << 16 | low >> 48;
		low <<= 16;
	}
	if (root == BROKEN)
		return BROKEN;
	class = walk(cells, root, high, low);
	if (class == BROKEN)
		return BROKEN;
	record = cell_at(cells, set->words[SET_RECORDS] + class / 4);
	if (!record)
		return BROKEN;
	class = class % 4 * 4;
	narrow = record->words[class + RECORD_NARROW];
	wide = record->words[class + RECORD_WIDE];
	value = record->words[class + RECORD_ONLY];
	value = stronger(cells, labels, value, row(cells, set->words[SET_EVERYONE], question));
	value = stronger(cells, labels, value, row(cells, narrow, question));
	return stronger(cells, labels, value, row(cells, wide, question));
}

#endif
