/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Cells of one generation, and the tries in them; provider/network-policy/trie.ts builds them. */
#ifndef NETWORK_POLICY_TRIE_H
#define NETWORK_POLICY_TRIE_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "network-policy.h"

/* no payload and no value is as large */
#define BROKEN 0xffffffffU

/* a node or a skip for each byte at most, and the leaf */
#define STEPS4 6
#define STEPS6 18

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
		return word_at(cells, 0, node->words[10] + run);
	/* five at most; the mask is what a verifier of 5.10 understands */
	return node->words[(10 + run) % CELL_WORDS];
}

static __always_inline int is_leaf(__u32 reference)
{
	return reference >> KIND_SHIFT < KIND_NODE;
}

/*
 * which start of a node is the last that is not above the key, of so many; the first never is, and `second` is where the
 * next one lies. Without branches, since nobody foresees which one it is
 */
static __always_inline __u64 last_start(struct cell *cell, __u64 key, int bytes, int second, int starts)
{
	__u64 last = 0;

#pragma unroll
	for (int i = 0; i < starts - 1; i++) {
		__u64 difference = (bytes == 2 ? cell->halves[second + i] : cell->words[second + i]) - (key + 1);

		barrier_var(difference);
		last += difference >> 63;
	}
	return last;
}

/* each of one form of node: the reference for two bytes or four. Masks stay, by which a verifier of 5.10 and 6.1 sees bounds */
static __always_inline __u32 find_range(void *cells, struct cell *ranges, __u64 key)
{
	return word_at(cells, 0, ranges->words[0] + last_start(ranges, key, 2, STARTS_HALF + 1, RANGES));
}

static __always_inline __u32 find_offset(struct cell *cell, __u64 key)
{
	__u64 half = OFFSETS_HALF + last_start(cell, key, 2, STARTS_HALF + 1, OFFSETS);
	__u64 offset, none;

	barrier_var(half);
	offset = cell->halves[half % (2 * CELL_WORDS)];
	/* 0 stands for payload 0: all ones then */
	none = offset - 1;
	barrier_var(none);
	return offset + (cell->words[0] & ~(__u32)(none >> 32));
}

static __always_inline __u32 find_inside(struct cell *cell, __u64 first, __u64 run)
{
	__u64 word = first + run;

	barrier_var(word);
	return cell->words[word % CELL_WORDS];
}

static __always_inline __u32 find_short(struct cell *cell, __u64 key)
{
	return find_inside(cell, SHORTS_WORD, last_start(cell, key, 2, 1, SHORTS));
}

static __always_inline __u32 find_long(struct cell *cell, __u64 key)
{
	return find_inside(cell, LONGS_WORD, last_start(cell, key, 4, 0, LONGS));
}

static __always_inline __u64 wide(struct cell *cell, __u32 word)
{
	return (__u64)cell->words[word + 1] << 32 | cell->words[word];
}

/* the payload for a key of 128 bits, or of 32 in that many steps, or BROKEN */
static __always_inline __u32 walk(void *cells, __u32 reference, __u64 high, __u64 low, int steps)
{
	/* as in parse.h */
#pragma unroll
	for (int i = 0; i < steps; i++) {
		__u32 kind = reference >> KIND_SHIFT;
		__u32 drop = 8;
		struct cell *cell;

		if (is_leaf(reference))
			return reference;
		cell = cell_at(cells, reference & CELL_NUMBER);
		if (!cell)
			return BROKEN;
		if (kind == KIND_RANGES) {
			reference = find_range(cells, cell, high >> 48);
			drop = 16;
		} else if (kind == KIND_SHORTS) {
			reference = find_short(cell, high >> 48);
			drop = 16;
		} else if (kind == KIND_OFFSETS) {
			reference = find_offset(cell, high >> 48);
			drop = 16;
		} else if (kind == KIND_LONGS) {
			reference = find_long(cell, high >> 32);
			drop = 32;
		} else if (kind == KIND_SKIP) {
			if ((high ^ wide(cell, 0)) & wide(cell, 4) ||
			    (steps == STEPS6 && (low ^ wide(cell, 2)) & wide(cell, 6)))
				return cell->words[9];
			reference = cell->words[8];
			drop = cell->words[10] & 127;
		} else {
			reference = find_run(cells, cell, kind, high >> 56);
		}
		if (reference == BROKEN)
			return BROKEN;
		if (steps == STEPS4) {
			high <<= drop & 63;
		} else if (drop >= 64) {
			high = low << (drop - 64);
			low = 0;
		} else if (drop) {
			high = high << drop | low >> (64 - drop);
			low <<= drop;
		}
	}
	return BROKEN;
}

static __noinline __u32 walk4(void *cells, __u32 reference, __u64 key)
{
	return walk(cells, reference, key, 0, STEPS4);
}

static __noinline __u32 walk6(void *cells, __u32 reference, __u64 high, __u64 low)
{
	return walk(cells, reference, high, low, STEPS6);
}

#endif
