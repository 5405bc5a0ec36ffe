// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What the bench loads: drops UDP to the ports in `ports`, and counts on a tc hook. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* tells revisions of one program apart */
const volatile __u32 revision = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1024);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 2);
} seen SEC(".maps");

static __always_inline void count(__u32 which)
{
	__u64 *packets = bpf_map_lookup_elem(&seen, &which);

	if (packets)
		*packets += 1 + (revision >> 31);
}

SEC("xdp")
int drop_ports(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u32 port;

	if ((void *)(udp + 1) > end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	port = bpf_ntohs(udp->dest);
	if (bpf_map_lookup_elem(&ports, &port)) {
		count(0);
		return XDP_DROP;
	}
	count(1);
	return XDP_PASS;
}

SEC("tc")
int count_packets(struct __sk_buff *skb)
{
	count(1);
	return TC_ACT_UNSPEC;
}
