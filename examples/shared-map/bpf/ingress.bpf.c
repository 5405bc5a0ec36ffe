// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Counts what tenants receive. */
#include "account.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tc")
int count_received(struct __sk_buff *skb)
{
	struct iphdr *ip = ipv4_header(skb);
	struct traffic *counters;

	if (!ip)
		return TC_ACT_UNSPEC;
	counters = traffic_of(ip->daddr);
	if (counters) {
		counters->rx_packets++;
		counters->rx_bytes += skb->len;
	}
	/* let the programs that follow decide */
	return TC_ACT_UNSPEC;
}
