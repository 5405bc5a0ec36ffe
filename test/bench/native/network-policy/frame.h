/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A packet of a workload as UDP: traffic.c writes it for a socket, frames.bpf.c into a page. */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include "workload.h"

#define INLINE static inline __attribute__((always_inline))

/* of 198.18.0.0/15, for tests like this */
#define NEAR 0xc6120001U

/* which packets, and the interface that sends them */
struct packets {
	__u32 workload, rules, mode, flows, ifindex;
};

enum mode { RANDOM, FLOWS, FRESH };

/* IP begins at an even byte: without that much known, a BPF program writes byte by byte */
struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	char payload[18];
} __attribute__((packed, aligned(2)));

static __u32 seed = 0x2545f491, count;

INLINE __u32 next(void)
{
	__u32 random = seed;

	random ^= random << 13;
	random ^= random >> 17;
	random ^= random << 5;
	return seed = random;
}

INLINE __u16 checksum(const struct iphdr *ip)
{
	const __u16 *at = (const void *)ip;
	__u32 sum = 0;

	for (unsigned int i = 0; i < sizeof(*ip) / sizeof(*at); i++)
		sum += at[i];
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16));
}

INLINE void write_ip(struct frame *frame, __u32 from, __u32 to, __u16 source, __u16 destination)
{
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP };

	ip.tot_len = bpf_htons(sizeof(*frame) - sizeof(frame->eth));
	ip.saddr = bpf_htonl(from);
	ip.daddr = bpf_htonl(to);
	ip.check = checksum(&ip);
	frame->ip = ip;
	frame->udp = (struct udphdr){ .source = bpf_htons(source), .dest = bpf_htons(destination) };
	frame->udp.len = bpf_htons(sizeof(frame->udp) + sizeof(frame->payload));
}

INLINE void write_frame(struct frame *frame, const struct packets *packets)
{
	__u32 random = next(), low = next(), rule = (__u64)random * packets->rules >> 32, host, far;
	__u32 near = NEAR;
	__u16 port = 40000;

	if (packets->mode == FLOWS) {
		low = (__u64)random * packets->flows >> 32;
		rule = low % packets->rules;
		port = 1024 + low;
	} else if (packets->mode == FRESH) {
		port = count;
		near += count++ >> 16;
	}
	host = (1ULL << (32 - prefix_of(packets->workload, rule))) - 1;
	far = (address_of(packets->workload, rule) & ~host) | (low & host);
	__builtin_memcpy(frame->eth.h_dest, "\x02\0\0\0\0\x01", ETH_ALEN);
	__builtin_memcpy(frame->eth.h_source, "\x02\0\0\0\0\x02", ETH_ALEN);
	frame->eth.h_proto = bpf_htons(ETH_P_IP);
	write_ip(frame, far, near, port, port_of(packets->workload, rule));
}

#endif
