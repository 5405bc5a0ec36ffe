/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Rule i of a workload, as numbers: a packet that meets it is made without reading any memory, which would be timed as
 * well. ../../network-policy/workloads.ts counts the same.
 */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <linux/types.h>

enum workload {
	/* one rule of many networks */
	NETWORKS,
	/* many rules of one network and one of 50 ports each */
	PORTS,
	/* eight networks in each other and ranges of ports */
	NESTED,
	/* one rule of many addresses */
	ADDRESSES,
};

#define NESTING 8

/* no two are equal below 2^17 */
static inline __attribute__((always_inline)) __u32 place_of(__u32 workload, __u32 i)
{
	return (workload == NESTED ? i / NESTING : i) * 40503U & 0x1ffff;
}

static inline __attribute__((always_inline)) __u32 prefix_of(__u32 workload, __u32 i)
{
	return workload == ADDRESSES ? 32 : 19 + i % (workload == NESTED ? NESTING : 14);
}

/* 128.0.0.0 to 191.255.255.255: no address that the kernel treats apart */
static inline __attribute__((always_inline)) __u32 address_of(__u32 workload, __u32 i)
{
	__u32 place = place_of(workload, i);

	return 2U << 30 | place << 13 | (place * 0x9e3779b1U) >> 19;
}

/* the first 64 bits, in 2001::/16; prefixes have 48 to 64 bits */
static inline __attribute__((always_inline)) __u64 address6_of(__u32 i)
{
	__u32 spread = i * 0x9e3779b1U;

	return 0x2001ULL << 48 | (__u64)spread << 16 | (spread * 0x85ebca6bU) >> 16;
}

static inline __attribute__((always_inline)) __u32 prefix6_of(__u32 i)
{
	return 48 + i % 17;
}

static inline __attribute__((always_inline)) __u16 port_of(__u32 workload, __u32 i)
{
	if (workload == PORTS)
		return 1000 + i % 50;
	return workload == NESTED ? 1024 + i * 37 % 512 * 64 : 443;
}

#endif
