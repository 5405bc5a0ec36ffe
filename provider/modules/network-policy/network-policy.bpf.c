// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Judges packets by the policies of an interface: docs/network-policy.md. All rules of a generation lie in one array of
 * cells, which a packet looks up once. Runs on Linux 5.10 and later.
 *
 * `judge` serves every packet, and keeps what it finds in a scratch of the CPU. `judge_plain` is the short way of those that
 * rules alone decide about: with the same functions, but in registers, which takes half the time.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "connections.h"
#include "counters.h"
#include "maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* neighbour discovery, multicast listeners, IGMP, the DHCP client */
static __always_inline int is_infrastructure(const struct packet *packet, __u32 hook)
{
	__u32 type = packet->service >> 8;
	__u32 client, server;

	if (packet->fragment || packet->flags & PACKET_ERROR)
		return 0;
	if (packet->protocol == IPPROTO_IGMP)
		return packet->version == 4;
	if (packet->protocol == IPPROTO_ICMPV6)
		return packet->version == 6 && (type == 143 || (type >= 130 && type <= 137));
	if (packet->protocol != IPPROTO_UDP)
		return 0;
	client = packet->version == 4 ? 68 : 546;
	server = packet->version == 4 ? 67 : 547;
	return packet->source_port == (hook == EGRESS ? client : server) &&
	       packet->destination_port == (hook == EGRESS ? server : client);
}

/* the generation that judges now */
static __always_inline void *current_cells(__u32 *slot)
{
	__u32 zero = 0;
	struct selector *selector = bpf_map_lookup_elem(&selectors, &zero);
	__u8 state;

	if (!selector)
		return NULL;
	state = *(volatile __u8 *)&selector->state;
	*slot = state & SELECT_CURRENT;
	if (state & SELECT_PENDING && bpf_ktime_get_ns() > selector->deadline)
		*slot = state / SELECT_PREVIOUS & 1;
	return bpf_map_lookup_elem(&generations, slot);
}

static __always_inline struct scratch *scratch_for(__u32 hook, __u32 length)
{
	struct scratch *scratch = current_scratch();

	if (!scratch)
		return NULL;
	__builtin_memset(&scratch->packet, 0, sizeof(scratch->packet));
	__builtin_memset(&scratch->verdict, 0, sizeof(scratch->verdict));
	scratch->generation = 0;
	scratch->hook = hook;
	scratch->length = length;
	return scratch;
}

/* whether the packet passes; a global function, as lookup_set */
__noinline int judge(__u32 parsed, __u32 ifindex)
{
	struct scratch *scratch = current_scratch();
	struct verdict *verdict;
	struct cell *header;
	void *cells;
	__u32 hook, slot = 0;
	int named;

	if (!scratch)
		return 0;
	verdict = &scratch->verdict;
	hook = scratch->hook & 1;
	cells = current_cells(&slot);
	scratch->slot = slot;
	header = cells ? cell_at(cells, 0) : NULL;
	if (!header || header->words[HEADER_FORMAT] != FORMAT) {
		verdict->reason = REASON_BROKEN;
		report(scratch, ifindex);
		return 0;
	}
	scratch->generation = (__u64)header->words[HEADER_GENERATION + 1] << 32 | header->words[HEADER_GENERATION];
	scratch->flags = header->words[HEADER_FLAGS];
	scratch->labels = header->words[HEADER_LABELS];
	scratch->sets[INGRESS][0] = header->words[HEADER_SETS];
	scratch->sets[INGRESS][1] = header->words[HEADER_SETS + 1];
	scratch->sets[EGRESS][0] = header->words[HEADER_SETS + 2];
	scratch->sets[EGRESS][1] = header->words[HEADER_SETS + 3];
	named = !!(scratch->flags & FLAG_NAMED << hook);
	verdict->audited = !!(scratch->flags & FLAG_AUDITED << hook);

	if (parsed == PARSED_OTHER) {
		verdict->reason = REASON_NOT_IP;
		verdict->pass = verdict->audit_pass = 1;
	} else if (!(scratch->flags & FLAG_NOT_EXEMPT) &&
		   (parsed == PARSED_ARP || (parsed == PARSED_PACKET && is_infrastructure(&scratch->packet, hook)))) {
		verdict->reason = REASON_INFRASTRUCTURE;
		verdict->pass = verdict->audit_pass = 1;
	} else if (parsed != PARSED_PACKET) {
		verdict->reason = !named ? REASON_UNNAMED : parsed == PARSED_ARP ? REASON_DEFAULT : REASON_MALFORMED;
		verdict->pass = !named;
		verdict->audit_pass = verdict->pass && !verdict->audited;
	} else {
		judge_packet(cells, scratch);
		if (scratch->packet.fragment == FRAGMENT_FIRST && verdict->pass)
			record_first_fragment(scratch);
	}
	report(scratch, ifindex);
	return verdict->pass;
}

/* whether the packet passes, counted; negative, and nothing done, where more than the enforced rules has a say */
static __always_inline int judge_plain(void *start, void *end, __u32 protocol, __u32 hook, __u32 length)
{
	struct question question;
	struct verdict verdict;
	struct packet packet;
	struct cell *header;
	__u32 slot = 0, flags, set, rule = 0;
	void *cells;

	if (!untracked || explain || sample_rate || !parse_plain(start, end, protocol, &packet))
		return -1;
	cells = current_cells(&slot);
	header = cells ? cell_at(cells, 0) : NULL;
	if (!header || header->words[HEADER_FORMAT] != FORMAT)
		return -1;
	flags = header->words[HEADER_FLAGS];
	if (!(flags & FLAG_UNTRACKED) || flags & FLAG_AUDITED << hook ||
	    (!(flags & FLAG_NOT_EXEMPT) && is_infrastructure(&packet, hook)))
		return -1;
	set = header->words[HEADER_SETS + 2 * hook];
	ask(&question, &packet, hook, 0);
	if (set)
		rule = strongest_in_set(cells, set, header->words[HEADER_LABELS], &question);
	conclude(&verdict, rule, rule, flags, hook);
	count(&verdict, hook, length);
	return verdict.pass;
}

/* where frames of a link, or packets without one, begin with what `protocol` is about; NULL: a frame ends before that */
static __always_inline void *behind_link(struct __sk_buff *skb, __u32 *protocol)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;

	*protocol = skb->protocol;
	if (!link_header)
		return data;
	if ((void *)(eth + 1) > end)
		return NULL;
	*protocol = eth->h_proto;
	return eth + 1;
}

static __always_inline __u32 parse_skb(struct __sk_buff *skb, struct packet *packet)
{
	__u32 protocol;
	void *start = behind_link(skb, &protocol);

	if (!start)
		return PARSED_MALFORMED;
	/* the kernel, or the device, strips what it receives of its first tag, and lets the device add it to what it sends */
	return parse(start, (void *)(long)skb->data_end, protocol, packet, skb->vlan_present);
}

/* read anew: of pointers at hand a compiler takes the difference in steps that the verifier refuses */
static __always_inline __u32 linear_bytes(struct __sk_buff *skb)
{
	return *(volatile __u32 *)&skb->data_end - *(volatile __u32 *)&skb->data;
}

static __always_inline int judge_skb(struct __sk_buff *skb, __u32 hook)
{
	struct scratch *scratch;
	__u32 protocol, parsed;
	void *start = behind_link(skb, &protocol);
	int pass = start ? judge_plain(start, (void *)(long)skb->data_end, protocol, hook, skb->len) : -1;

	/* TC_ACT_UNSPEC is TCX_NEXT: whoever comes next has a say, too */
	if (pass >= 0)
		return pass ? TC_ACT_UNSPEC : TC_ACT_SHOT;
	scratch = scratch_for(hook, skb->len);
	if (!scratch)
		return TC_ACT_SHOT;
	parsed = parse_skb(skb, &scratch->packet);
	/* headers may lie beyond the linear part */
	if (parsed == PARSED_MALFORMED && linear_bytes(skb) < skb->len) {
		if (!bpf_skb_pull_data(skb, skb->len < 512 ? skb->len : 512)) {
			__builtin_memset(&scratch->packet, 0, sizeof(scratch->packet));
			parsed = parse_skb(skb, &scratch->packet);
		}
	}
	return judge(parsed, skb->ifindex) ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

SEC("tc")
int judge_ingress(struct __sk_buff *skb)
{
	return judge_skb(skb, INGRESS);
}

SEC("tc")
int judge_egress(struct __sk_buff *skb)
{
	return judge_skb(skb, EGRESS);
}

SEC("xdp")
int judge_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u32 parsed = PARSED_MALFORMED;
	struct ethhdr *eth = data;
	struct scratch *scratch;
	int pass;

	if ((void *)(eth + 1) <= end) {
		pass = judge_plain(eth + 1, end, eth->h_proto, INGRESS, end - data);
		if (pass >= 0)
			return pass ? XDP_PASS : XDP_DROP;
	}
	scratch = scratch_for(INGRESS, end - data);
	if (!scratch)
		return XDP_DROP;
	if ((void *)(eth + 1) <= end)
		parsed = parse(eth + 1, end, eth->h_proto, &scratch->packet, 0);
	return judge(parsed, ctx->ingress_ifindex) ? XDP_PASS : XDP_DROP;
}
