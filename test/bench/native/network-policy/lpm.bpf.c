// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The program that ships, with the class of an address from LPM maps in place of its trie. */
#define address_class address_class_by_trie
#include "address-class.h"
#undef address_class

#include <bpf/bpf_endian.h>

struct key4 {
	__u32 prefix;
	__be32 address;
};

struct key6 {
	__u32 prefix;
	__be32 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, struct key4);
	__type(value, __u32);
} networks4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, struct key6);
	__type(value, __u32);
} networks6 SEC(".maps");

static __always_inline __u32 address_class(void *cells, const struct cell *set, const struct question *question)
{
	struct key4 key4 = { 32, bpf_htonl(question->address[0] >> 32) };
	struct key6 key6 = {
		128,
		{
			bpf_htonl(question->address[0] >> 32),
			bpf_htonl(question->address[0]),
			bpf_htonl(question->address[1] >> 32),
			bpf_htonl(question->address[1]),
		},
	};
	__u32 *class = question->version == 4 ? bpf_map_lookup_elem(&networks4, &key4) :
						bpf_map_lookup_elem(&networks6, &key6);

	return class ? *class : 0;
}

#include "network-policy.bpf.c"
