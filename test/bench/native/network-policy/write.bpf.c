// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * BPF_PROG_TEST_RUN repeats one packet. This program writes the next one of a workload into it and then runs the
 * program under test, which sees another address each time.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "workload.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum mode {
	/* a random rule, and a random address in its network */
	RANDOM,
	/* addresses that no rule has */
	OTHERS,
	/* a random one of the flows */
	FLOWS,
	/* each flow's first packet, one after the other, and its answer */
	OPENING,
	ANSWERS,
	/* as RANDOM, and no two packets of one flow */
	FRESH,
};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

const volatile __u32 workload = NETWORKS;
const volatile __u32 mode = RANDOM;
const volatile __u32 rules = 1;
const volatile __u32 flows = 1;
const volatile __u8 ipv6 = 0;

/* behind the headers, so that no map is read: what the next packet depends on */
struct state {
	__u32 seed;
	__u32 count;
};

struct packet4 {
	struct iphdr ip;
	struct tcphdr tcp;
	struct state state;
};

struct packet6 {
	struct ipv6hdr ip;
	struct tcphdr tcp;
	struct state state;
};

struct choice {
	__u32 rule;
	__u32 random;
	__u16 port;
	__u16 high;
};

static __always_inline __u32 below(__u32 random, __u32 limit)
{
	return (__u64)random * limit >> 32;
}

static __always_inline void choose(struct state *state, struct choice *choice)
{
	__u32 random = state->seed, count = state->count++, flow;

	random ^= random << 13;
	random ^= random >> 17;
	random ^= random << 5;
	state->seed = random;
	choice->random = random * 0x9e3779b1U;
	choice->rule = below(random, rules);
	choice->port = 40000;
	choice->high = 1;
	if (mode == OTHERS) {
		choice->rule += rules;
	} else if (mode == FRESH) {
		choice->port = count;
		choice->high = count >> 16;
	} else if (mode != RANDOM) {
		flow = mode == FLOWS ? below(random, flows) : count % flows;
		choice->rule = flow % rules;
		choice->random = flow;
		choice->port = 1024 + flow;
	}
	/* one in ten has the other action: what those let in would open connections among packets that are to be denied */
	if (workload == NESTED && choice->rule % 10 == 9)
		choice->rule--;
}

static __always_inline void write_tcp(struct tcphdr *tcp, const struct choice *choice)
{
	__be16 source = bpf_htons(choice->port), destination = bpf_htons(port_of(workload, choice->rule));

	tcp->source = mode == ANSWERS ? destination : source;
	tcp->dest = mode == ANSWERS ? source : destination;
}

static __always_inline void write4(struct packet4 *packet, const struct choice *choice)
{
	__u32 host = (1ULL << (32 - prefix_of(workload, choice->rule))) - 1;
	__be32 far = bpf_htonl((address_of(workload, choice->rule) & ~host) | (choice->random & host));
	/* of 198.18.0.0/15, for tests like this */
	__be32 near = bpf_htonl(0xc6120000 | choice->high);

	packet->ip.saddr = mode == ANSWERS ? near : far;
	packet->ip.daddr = mode == ANSWERS ? far : near;
	write_tcp(&packet->tcp, choice);
}

static __always_inline void write6(struct packet6 *packet, const struct choice *choice)
{
	__u64 host = ~0ULL >> prefix6_of(choice->rule);
	__u64 address = (address6_of(choice->rule) & ~host) | ((__u64)choice->random << 16 & host);
	__be32 *far = (mode == ANSWERS ? &packet->ip.daddr : &packet->ip.saddr)->in6_u.u6_addr32;
	__be32 *near = (mode == ANSWERS ? &packet->ip.saddr : &packet->ip.daddr)->in6_u.u6_addr32;

	far[0] = bpf_htonl(address >> 32);
	far[1] = bpf_htonl(address);
	far[3] = choice->random;
	near[0] = bpf_htonl(0x20010db8);
	near[1] = 0;
	near[3] = choice->high;
	write_tcp(&packet->tcp, choice);
}

static __always_inline int write(void *data, void *end)
{
	struct choice choice;

	data += sizeof(struct ethhdr);
	if (ipv6) {
		struct packet6 *packet = data;

		if ((void *)(packet + 1) > end)
			return 0;
		choose(&packet->state, &choice);
		write6(packet, &choice);
	} else {
		struct packet4 *packet = data;

		if ((void *)(packet + 1) > end)
			return 0;
		choose(&packet->state, &choice);
		write4(packet, &choice);
	}
	return 1;
}

SEC("xdp")
int write_xdp(struct xdp_md *ctx)
{
	if (write((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}

SEC("tc")
int write_tc(struct __sk_buff *skb)
{
	if (write((void *)(long)skb->data, (void *)(long)skb->data_end))
		bpf_tail_call(skb, &target, 0);
	return TC_ACT_STOLEN;
}

/* what the rest takes: to be subtracted */
SEC("xdp")
int nothing_xdp(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("tc")
int nothing_tc(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}
