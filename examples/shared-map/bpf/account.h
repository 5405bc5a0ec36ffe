/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Traffic by tenant: the maps and the reading that both directions share. */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct owner {
	__u32 tenant;
};

struct traffic {
	__u64 rx_packets;
	__u64 rx_bytes;
	__u64 tx_packets;
	__u64 tx_bytes;
};

/* whose address it is; filled from outside */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __be32);
	__type(value, struct owner);
} tenants SEC(".maps");

/* what each tenant received and sent */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct traffic);
} traffic SEC(".maps");

/* the IPv4 header, or NULL */
static __always_inline struct iphdr *ipv4_header(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return NULL;
	return ip;
}

/* the counters of the tenant who owns the address, or NULL */
static __always_inline struct traffic *traffic_of(__be32 addr)
{
	struct owner *owner = bpf_map_lookup_elem(&tenants, &addr);
	struct traffic none = {};
	struct traffic *found;

	if (!owner)
		return NULL;
	found = bpf_map_lookup_elem(&traffic, &owner->tenant);
	if (found)
		return found;
	bpf_map_update_elem(&traffic, &owner->tenant, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&traffic, &owner->tenant);
}

#endif
