/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a packet asks of a rule set, and which class its address is in. */
#ifndef NETWORK_POLICY_ADDRESS_CLASS_H
#define NETWORK_POLICY_ADDRESS_CLASS_H

#include "trie.h"

struct question {
	__u64 address[2];
	__u16 service;
	__u8 protocol;
	__u8 version;
	__u8 later_fragment;
};

/* the class of an address, or BROKEN */
static __always_inline __u32 address_class(void *cells, const struct cell *set, const struct question *question)
{
	int ipv4 = question->version == 4;
	__u32 root = ipv4 ? set->words[SET_ROOT4] : set->words[SET_ROOT6];
	__u32 table = ipv4 ? set->words[SET_TABLE4] : set->words[SET_TABLE6];
	__u64 high = question->address[0], low = question->address[1];

	if (table) {
		root = word_at(cells, table, high >> 48);
		high = high << 16 | low >> 48;
		low <<= 16;
		if (!ipv4 && root >> KIND_SHIFT == KIND_TABLE) {
			root = word_at(cells, root & CELL_NUMBER, high >> 48);
			high = high << 16 | low >> 48;
			low <<= 16;
		}
	}
	if (root == BROKEN || is_leaf(root))
		return root;
	return ipv4 ? walk4(cells, root, high) : walk6(cells, root, high, low);
}

#endif
