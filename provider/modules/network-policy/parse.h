/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From bytes to what a policy speaks of. */
#ifndef NETWORK_POLICY_PARSE_H
#define NETWORK_POLICY_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAX_EXTENSIONS 8

enum parsed {
	PARSED_PACKET,
	PARSED_ARP,
	PARSED_OTHER,
	PARSED_MALFORMED,
};

enum fragment_position {
	FRAGMENT_NONE,
	FRAGMENT_FIRST,
	FRAGMENT_LATER,
};

/* can be no reply: TCP SYN without ACK, ICMP request */
#define PACKET_OPENING 1
/* has a connection or may open one */
#define PACKET_TRACKED 2
/* opens none: TCP RST, ICMP reply */
#define PACKET_NEVER_OPENS 4
#define PACKET_FIN 8
#define PACKET_RST 16
/* an ICMP error; the rest is of the packet that it quotes, reversed */
#define PACKET_ERROR 32

struct packet {
	/* left-aligned, in the order of the bits */
	__u64 source[2];
	__u64 destination[2];
	/* of ICMP: identifier, and 0x10000 + type of the request */
	__u32 source_port;
	__u32 destination_port;
	__u32 fragment_id;
	/* destination port, or type and code */
	__u16 service;
	__u8 protocol;
	__u8 version;
	__u8 fragment;
	__u8 flags;
	/* where parsing is, from the IP header or after the MAC addresses on */
	__u32 offset;
};

/*
 * The offset goes through memory, where the verifier forgets how it came to be: it then walks what follows once, and not
 * once for each length that a header can have.
 */
static __always_inline void *here(void *start, struct packet *packet)
{
	return start + (*(volatile __u32 *)&packet->offset & 0x3fff);
}

static __always_inline void skip(struct packet *packet, __u32 bytes)
{
	*(volatile __u32 *)&packet->offset += bytes;
}

struct vlan_header {
	__be16 tag;
	__be16 protocol;
};

struct extension_header {
	__u8 next;
	__u8 length;
};

struct fragment_header {
	__u8 next;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 identifier;
	__be16 sequence;
};

struct tcp_start {
	__be16 source;
	__be16 destination;
	__be32 sequence;
	__be32 acknowledgement;
	__u8 offset;
	__u8 flags;
};

#define UDP_HEADER 8
#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

static __always_inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

static __always_inline int is_icmp_error(__u8 protocol, __u8 type)
{
	if (protocol == IPPROTO_ICMP)
		return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
	return protocol == IPPROTO_ICMPV6 && type >= 1 && type < 128;
}

static __always_inline int contradicts_itself(const struct iphdr *ip, __u32 length)
{
	return ip->tot_len && bpf_ntohs(ip->tot_len) < length;
}

static __always_inline void read_ipv4(const struct iphdr *ip, struct packet *packet)
{
	__u16 offset = bpf_ntohs(ip->frag_off);

	packet->source[0] = (__u64)bpf_ntohl(ip->saddr) << 32;
	packet->source[1] = 0;
	packet->destination[0] = (__u64)bpf_ntohl(ip->daddr) << 32;
	packet->destination[1] = 0;
	packet->protocol = ip->protocol;
	packet->fragment = offset & 0x1fff ? FRAGMENT_LATER : offset & 0x2000 ? FRAGMENT_FIRST : FRAGMENT_NONE;
	packet->fragment_id = bpf_ntohs(ip->id);
}

/* network layer: addresses, protocol, fragment; 0 when it is too short or contradicts itself */
static __always_inline int parse_ipv4(void *start, void *end, struct packet *packet)
{
	struct iphdr *ip = here(start, packet);
	__u32 length;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return 0;
	length = ip->ihl * 4;
	if ((void *)ip + length > end || contradicts_itself(ip, length))
		return 0;
	read_ipv4(ip, packet);
	skip(packet, length);
	return 1;
}

static __always_inline int parse_ipv6(void *start, void *end, struct packet *packet)
{
	struct ipv6hdr *ip = here(start, packet);

	if ((void *)(ip + 1) > end || ip->version != 6)
		return 0;
	packet->source[0] = (__u64)bpf_ntohl(ip->saddr.in6_u.u6_addr32[0]) << 32 |
			    bpf_ntohl(ip->saddr.in6_u.u6_addr32[1]);
	packet->source[1] = (__u64)bpf_ntohl(ip->saddr.in6_u.u6_addr32[2]) << 32 |
			    bpf_ntohl(ip->saddr.in6_u.u6_addr32[3]);
	packet->destination[0] = (__u64)bpf_ntohl(ip->daddr.in6_u.u6_addr32[0]) << 32 |
				 bpf_ntohl(ip->daddr.in6_u.u6_addr32[1]);
	packet->destination[1] = (__u64)bpf_ntohl(ip->daddr.in6_u.u6_addr32[2]) << 32 |
				 bpf_ntohl(ip->daddr.in6_u.u6_addr32[3]);
	packet->protocol = ip->nexthdr;
	packet->fragment = FRAGMENT_NONE;
	skip(packet, sizeof(*ip));
	/* unrolled: Linux 5.10 takes only loops that end in a jump, and the compiler lays them out otherwise */
#pragma unroll
	for (int i = 0; i <= MAX_EXTENSIONS; i++) {
		__u8 next = *(volatile __u8 *)&packet->protocol;
		void *at = here(start, packet);

		if (next == IPPROTO_FRAGMENT) {
			struct fragment_header *fragment = at;
			__u16 offset;

			/* a fragment of a fragment contradicts itself */
			if ((void *)(fragment + 1) > end || packet->fragment)
				return 0;
			offset = bpf_ntohs(fragment->offset);
			packet->protocol = fragment->next;
			packet->fragment_id = bpf_ntohl(fragment->id);
			packet->fragment = offset & 0xfff8 ? FRAGMENT_LATER : offset & 1 ? FRAGMENT_FIRST : FRAGMENT_NONE;
			if (offset & 0xfff8)
				return 1;
			skip(packet, sizeof(*fragment));
		} else if (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS) {
			struct extension_header *extension = at;

			if ((void *)(extension + 1) > end)
				return 0;
			packet->protocol = extension->next;
			skip(packet, ((__u32)extension->length + 1) * 8);
		} else {
			return at <= end;
		}
	}
	return 0;
}

static __always_inline int parse_ip(void *start, void *end, struct packet *packet)
{
	return packet->version == 4 ? parse_ipv4(start, end, packet) : parse_ipv6(start, end, packet);
}

static __always_inline void read_ports(const struct tcp_start *start, struct packet *packet)
{
	packet->source_port = bpf_ntohs(start->source);
	packet->destination_port = bpf_ntohs(start->destination);
	packet->service = packet->destination_port;
	packet->flags |= PACKET_TRACKED;
}

static __always_inline void read_tcp_flags(const struct tcp_start *tcp, struct packet *packet)
{
	if ((tcp->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		packet->flags |= PACKET_OPENING;
	if (tcp->flags & TCP_FIN)
		packet->flags |= PACKET_FIN;
	if (tcp->flags & TCP_RST)
		packet->flags |= PACKET_RST | PACKET_NEVER_OPENS;
}

/* transport layer up to the ports, or type and code; 0 when it is too short */
static __always_inline int parse_transport(void *start, void *end, struct packet *packet, int quoted)
{
	__u8 protocol = *(volatile __u8 *)&packet->protocol;
	void *at = here(start, packet);

	if (has_ports(protocol)) {
		struct tcp_start *tcp = at;

		if (at + 4 > end)
			return 0;
		read_ports(tcp, packet);
		if (protocol != IPPROTO_TCP || quoted)
			return 1;
		if ((void *)(tcp + 1) > end)
			return 0;
		read_tcp_flags(tcp, packet);
	} else if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) {
		struct icmp_header *icmp = at;
		__u8 request = 0, reply = 0;

		if (at + 4 > end)
			return 0;
		packet->service = icmp->type << 8 | icmp->code;
		if (protocol == IPPROTO_ICMP) {
			if (icmp->type == 8 || icmp->type == 13)
				request = icmp->type;
			else if (icmp->type == 0 || icmp->type == 14)
				reply = icmp->type ? 13 : 8;
		} else if (icmp->type == 128) {
			request = 128;
		} else if (icmp->type == 129) {
			reply = 128;
		}
		if (!request && !reply)
			return 1;
		if ((void *)(icmp + 1) > end)
			return 0;
		packet->flags |= PACKET_TRACKED;
		if (request) {
			packet->flags |= PACKET_OPENING;
			packet->source_port = bpf_ntohs(icmp->identifier);
			packet->destination_port = 0x10000 | request;
		} else {
			packet->flags |= PACKET_NEVER_OPENS;
			packet->source_port = 0x10000 | reply;
			packet->destination_port = bpf_ntohs(icmp->identifier);
		}
	} else {
		packet->flags |= PACKET_TRACKED;
	}
	return 1;
}

/* the packet that an ICMP error quotes, with its ends exchanged */
static __always_inline int parse_quoted(void *start, void *end, struct packet *packet)
{
	__u64 address;
	__u32 port;

	packet->flags = 0;
	if (!parse_ip(start, end, packet) || packet->fragment == FRAGMENT_LATER ||
	    !parse_transport(start, end, packet, 1))
		return 0;
	if (is_icmp_error(packet->protocol, packet->service >> 8))
		return 0;
	packet->fragment = FRAGMENT_NONE;
	packet->flags = (packet->flags & PACKET_TRACKED) | PACKET_ERROR;
	address = packet->source[0];
	packet->source[0] = packet->destination[0];
	packet->destination[0] = address;
	address = packet->source[1];
	packet->source[1] = packet->destination[1];
	packet->destination[1] = address;
	port = packet->source_port;
	packet->source_port = packet->destination_port;
	packet->destination_port = port;
	if (has_ports(packet->protocol))
		packet->service = port;
	return 1;
}

/* no protocol: those have 16 bits */
#define TRUNCATED 0x10000

static __always_inline int is_vlan(__u32 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

static __always_inline __u32 behind_vlan(void *start, void *end, __u32 protocol, struct packet *packet)
{
	struct vlan_header *vlan = here(start, packet);

	if (!is_vlan(protocol))
		return protocol;
	if ((void *)(vlan + 1) > end)
		return TRUNCATED;
	skip(packet, sizeof(*vlan));
	return vlan->protocol;
}

/*
 * What nearly all packets are: IPv4 without options, whole, of TCP or UDP. Where things lie is known, so that nothing goes
 * through memory. 0 for any other, and `packet` is no more than without flags then.
 */
static __always_inline int parse_plain(void *start, void *end, __u32 protocol, struct packet *packet)
{
	struct iphdr *ip = start;
	struct tcp_start *tcp = (void *)(ip + 1);

	if (protocol != bpf_htons(ETH_P_IP) || (void *)tcp + UDP_HEADER > end || ip->version != 4 || ip->ihl != 5 ||
	    contradicts_itself(ip, sizeof(*ip)) || ip->frag_off & bpf_htons(0x3fff))
		return 0;
	packet->flags = 0;
	/* one branch, for verifiers that do not remember what a byte of the packet was */
	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return 0;
		read_tcp_flags(tcp, packet);
	} else if (ip->protocol != IPPROTO_UDP) {
		return 0;
	}
	packet->version = 4;
	packet->offset = 0;
	read_ipv4(ip, packet);
	read_ports(tcp, packet);
	return 1;
}

/* `protocol` is that of what begins at `start`, in network order; a tag that is `stripped` is not there any more */
static __noinline int parse_any(void *start, void *end, __u32 protocol, struct packet *packet, __u32 stripped)
{
	protocol = behind_vlan(start, end, protocol, packet);
	if (!stripped)
		protocol = behind_vlan(start, end, protocol, packet);
	if (protocol == TRUNCATED || is_vlan(protocol))
		return PARSED_MALFORMED;
	if (protocol == bpf_htons(ETH_P_ARP))
		return PARSED_ARP;
	if (protocol == bpf_htons(ETH_P_IP))
		packet->version = 4;
	else if (protocol == bpf_htons(ETH_P_IPV6))
		packet->version = 6;
	else
		return PARSED_OTHER;

	if (!parse_ip(start, end, packet))
		return PARSED_MALFORMED;
	if (packet->fragment == FRAGMENT_LATER)
		return PARSED_PACKET;
	if (!parse_transport(start, end, packet, 0))
		return PARSED_MALFORMED;
	if (!is_icmp_error(packet->protocol, packet->service >> 8))
		return PARSED_PACKET;
	/* four bytes of ICMP and four that each type uses otherwise */
	skip(packet, 8);
	return parse_quoted(start, end, packet) ? PARSED_PACKET : PARSED_MALFORMED;
}

static __always_inline int parse(void *start, void *end, __u32 protocol, struct packet *packet, __u32 stripped)
{
	if (parse_plain(start, end, protocol, packet))
		return PARSED_PACKET;
	return parse_any(start, end, protocol, packet, stripped);
}

#endif
