/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The form of a generation, and what user space reads and writes; provider/network-policy/cells.ts has the same. */
#ifndef NETWORK_POLICY_H
#define NETWORK_POLICY_H

#include <linux/types.h>

#define CELL_WORDS 16

struct cell {
	union {
		__u32 words[CELL_WORDS];
		__u16 halves[2 * CELL_WORDS];
	};
};

/* a reference: a leaf's class or value, its two high bits 0; or a kind in the four high bits, then a cell */
#define KIND_SHIFT 28
#define CELL_NUMBER ((1U << KIND_SHIFT) - 1)

enum kind {
	KIND_NODE = 4,
	KIND_RANGES,
	KIND_SPREAD,
	KIND_SHORTS,
	KIND_SKIP,
	KIND_LONGS,
	KIND_OFFSETS,
	KIND_TABLE,
};

#define SHORTS 10
#define SHORTS_WORD 5
#define LONGS 8
#define LONGS_WORD 7
#define RANGES 28
#define OFFSETS 15
#define OFFSETS_HALF 17
/* of RANGES and OFFSETS */
#define STARTS_HALF 2

/* a value: 0, or slot + 1 with flags */
#define VALUE_DENY (1U << 29)
#define VALUE_PARTIAL (1U << 28)
#define VALUE_SLOT (VALUE_PARTIAL - 1)

#define FORMAT 6

enum header_word {
	HEADER_FORMAT,
	HEADER_CELLS,
	HEADER_GENERATION,
	HEADER_FLAGS = 4,
	HEADER_LABELS,
	HEADER_SLOTS,
	HEADER_SETS = 8,
};

#define FLAG_NOT_EXEMPT 1
#define FLAG_KEEP 2
#define FLAG_NAMED 4
#define FLAG_AUDITED 16
/* connections are neither looked up nor opened: each packet is judged by the rules alone */
#define FLAG_UNTRACKED 64

enum set_word {
	SET_ROOT4,
	SET_TABLE4,
	SET_ROOT6,
	SET_TABLE6,
	SET_EVERYONE,
	SET_RECORDS,
	/* after the number of classes, which nobody asks for here */
	SET_RESTS = 7,
};

/* eight a cell, and so are the rests */
#define RECORDS 8

enum record_word {
	RECORD_NARROW,
	/*
	 * not 0, RECORD_HAS_REST apart: RECORD_NARROW is a value and holds for this service only, RECORD_HAS_SERVICE apart; or
	 * what lies below this protocol, shifted left by 16, in a row about no other, RECORD_HAS_PROTOCOL apart
	 */
	RECORD_SERVICE,
};

#define RECORD_HAS_SERVICE (1U << 31)
#define RECORD_HAS_PROTOCOL (1U << 30)
#define RECORD_HAS_REST (1U << 29)

/* of few classes: so what most packets read takes half the room in a processor's cache */
enum rest_word {
	REST_WIDE,
	REST_ONLY,
};

enum hook {
	INGRESS,
	EGRESS,
};

/* why a packet passes or not; Reason in provider/network-policy/packet.ts */
enum reason {
	REASON_RULE,
	REASON_DEFAULT,
	REASON_UNNAMED,
	REASON_CONNECTION,
	REASON_INFRASTRUCTURE,
	REASON_NOT_IP,
	REASON_FRAGMENT,
	REASON_FRAGMENT_UNKNOWN,
	REASON_MALFORMED,
	/* the tables do not fit the program: nothing passes */
	REASON_BROKEN,
	REASONS,
};

/*
 * Which generation judges. The three bits lie in one byte, so that no packet sees half of a write: write the deadline
 * while `SELECT_PENDING` is not set, then the byte. Confirming is one write of the byte.
 */
#define SELECT_CURRENT 1
#define SELECT_PREVIOUS 2
#define SELECT_PENDING 4

struct selector {
	/* CLOCK_MONOTONIC in ns; judged by the previous one after that, while pending */
	__u64 deadline;
	__u8 state;
	__u8 pad[7];
};

/* so many slots of one shard lie together, a page: what one CPU counts in is small, and no other CPU's */
#define SHARD_SLOTS 256

struct counter {
	__u64 packets;
	__u64 bytes;
};

/* ends in the order of their addresses and ports, so that both directions have one key */
struct flow_key {
	__u64 low_address[2];
	__u64 high_address[2];
	__u32 low_port;
	__u32 high_port;
	__u32 protocol; /* and the IP version shifted left by 8 */
	__u32 pad;
};

/* indexes of a hook are where the original packets were judged; of a side 0 is original and 1 reply */
struct flow {
	__u64 generation[2]; /* by hook; 0: not judged there */
	__u64 seen[2]; /* by side */
	struct counter passed[2]; /* by side */
	__u32 policy[2]; /* by hook: whose generation */
	__u32 rule[2]; /* by hook: value */
	__u32 audit[2]; /* by hook: value */
	__u16 service;
	__u8 originator_high;
	__u8 audit_pass[2]; /* by hook */
	__u8 closing[2]; /* by side: FIN, RST */
	__u8 pad;
};

#define CLOSING_FIN 1
#define CLOSING_RST 2

struct fragment_key {
	__u64 source[2];
	__u64 destination[2];
	__u32 id;
	__u32 policy;
	__u8 protocol;
	__u8 version;
	__u8 hook;
	__u8 pad[5];
};

struct fragment {
	__u64 seen;
	__u32 rule;
	__u32 audit;
	__u8 audit_pass;
	__u8 pad[7];
};

enum timeout {
	TIMEOUT_TCP_HALF_OPEN,
	TIMEOUT_TCP,
	TIMEOUT_TCP_FIN,
	TIMEOUT_TCP_RST,
	TIMEOUT_UDP_HALF_OPEN,
	TIMEOUT_UDP,
	TIMEOUT_ICMP,
	TIMEOUT_HALF_OPEN,
	TIMEOUT_OTHER,
	TIMEOUT_FRAGMENT,
	TIMEOUTS,
};

struct event {
	__u64 time; /* CLOCK_MONOTONIC in ns */
	__u64 generation;
	__u64 source[2];
	__u64 destination[2];
	__u32 source_port;
	__u32 destination_port;
	__u32 policy;
	__u32 ifindex;
	__u32 length;
	__u32 rule; /* value */
	__u32 audit; /* value */
	__u16 service;
	__u8 protocol;
	__u8 version;
	__u8 hook;
	__u8 reason;
	__u8 pass;
	__u8 audit_pass;
};

#endif
