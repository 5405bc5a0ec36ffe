// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Packets of a workload as UDP over a wire, from one core and one after the other: the kernel receives each on the
 * same core, whose time is that of both ends.
 *
 *   traffic send INTERFACE WORKLOAD RULES MODE FLOWS MILLISECONDS    prints nanoseconds a packet
 *   traffic open INTERFACE WORKLOAD RULES FLOWS                      the first packet of each flow
 *   traffic answer WORKLOAD RULES FLOWS                              the answer to each, by the IP stack
 *   traffic sink                                                     takes what arrives, until stdin closes
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "workload.h"

#define BATCH 64
#define SLICES 20
/* of 198.18.0.0/15, for tests like this */
#define NEAR 0xc6120001U

struct frame {
	struct ether_header eth;
	struct iphdr ip;
	struct udphdr udp;
	char payload[18];
} __attribute__((packed));

enum mode { RANDOM, FLOWS, FRESH };

static uint32_t seed = 0x2545f491, count;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint32_t next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

static uint16_t checksum(const void *data, int words)
{
	const uint16_t *at = data;
	uint32_t sum = 0;

	while (words--)
		sum += *at++;
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16));
}

static void write_ip(struct frame *frame, uint32_t from, uint32_t to, uint16_t source, uint16_t destination)
{
	frame->ip = (struct iphdr){ .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP };
	frame->ip.tot_len = htons(sizeof(*frame) - sizeof(frame->eth));
	frame->ip.saddr = htonl(from);
	frame->ip.daddr = htonl(to);
	frame->ip.check = checksum(&frame->ip, 10);
	frame->udp = (struct udphdr){ .source = htons(source), .dest = htons(destination) };
	frame->udp.len = htons(sizeof(frame->udp) + sizeof(frame->payload));
}

static void write_frame(struct frame *frame, uint32_t workload, uint32_t rules, enum mode mode, uint32_t flows)
{
	uint32_t random = next(), low = next(), rule = (uint64_t)random * rules >> 32, host, far;
	uint16_t port = 40000;
	uint32_t near = NEAR;

	if (mode == FLOWS) {
		low = (uint64_t)random * flows >> 32;
		rule = low % rules;
		port = 1024 + low;
	} else if (mode == FRESH) {
		port = count;
		near += count++ >> 16;
	}
	host = (1ULL << (32 - prefix_of(workload, rule))) - 1;
	far = (address_of(workload, rule) & ~host) | (low & host);
	memcpy(frame->eth.ether_dhost, "\x02\0\0\0\0\x01", 6);
	memcpy(frame->eth.ether_shost, "\x02\0\0\0\0\x02", 6);
	frame->eth.ether_type = htons(ETHERTYPE_IP);
	write_ip(frame, far, near, port, port_of(workload, rule));
}

/* the file that tells how long the thread ran that does a core's deferred work: what is received, when there is much */
static int deferred_work(int core)
{
	char path[64], wanted[32], name[32];
	int fd;

	snprintf(wanted, sizeof(wanted), "ksoftirqd/%d\n", core);
	for (int pid = 2; pid < 4096; pid++) {
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		ssize_t length = read(fd, name, sizeof(name) - 1);

		close(fd);
		if (length < 0 || strncmp(name, wanted, strlen(wanted)))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
		return open(path, O_RDONLY);
	}
	return -1;
}

/* nanoseconds that this program and the deferred work ran: no other program's, however busy the machine is */
static double spent_so_far(int deferred)
{
	struct timespec t;
	char text[64] = "";

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	if (pread(deferred, text, sizeof(text) - 1, 0) < 0)
		die("schedstat");
	return t.tv_sec * 1e9 + t.tv_nsec + strtod(text, NULL);
}

static int wire(const char *interface)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(interface) };
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1;

	if (fd < 0 || bind(fd, (void *)&to, sizeof(to)))
		die(interface);
	if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)))
		die("PACKET_QDISC_BYPASS");
	return fd;
}

static void send_all(int fd, struct mmsghdr *messages)
{
	for (int done = 0, n; done < BATCH; done += n) {
		n = sendmmsg(fd, messages + done, BATCH - done, 0);
		if (n >= 0)
			continue;
		if (errno != ENOBUFS)
			die("sendmmsg");
		/* the receiver is behind: it gets this core */
		n = 0;
		sched_yield();
	}
}

static int ascending(const void *a, const void *b)
{
	return *(const double *)a < *(const double *)b ? -1 : 1;
}

/* the median of short slices: interrupts and the like take some of them */
static int send_for(int fd, uint32_t workload, uint32_t rules, enum mode mode, uint32_t flows, double duration)
{
	static struct frame frames[BATCH];
	struct mmsghdr messages[BATCH] = {};
	struct iovec vectors[BATCH];
	double slices[SLICES];
	cpu_set_t core = {};
	int deferred;

	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ &frames[i], sizeof(frames[i]) };
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	/* the receiver's work is done on the core that sends */
	CPU_SET(sched_getcpu(), &core);
	if (sched_setaffinity(0, sizeof(core), &core))
		die("sched_setaffinity");
	deferred = deferred_work(sched_getcpu());
	if (deferred < 0)
		die("ksoftirqd");
	for (int slice = 0; slice < SLICES; slice++) {
		double start = spent_so_far(deferred), spent = 0;
		uint64_t sent = 0;

		while (spent < duration / SLICES) {
			for (int batch = 0; batch < 8; batch++, sent += BATCH) {
				for (int i = 0; i < BATCH; i++)
					write_frame(&frames[i], workload, rules, mode, flows);
				send_all(fd, messages);
			}
			spent = spent_so_far(deferred) - start;
		}
		slices[slice] = spent / sent;
	}
	qsort(slices, SLICES, sizeof(slices[0]), ascending);
	printf("%.1f\n", slices[SLICES / 2]);
	return 0;
}

static int open_flows(int fd, uint32_t workload, uint32_t rules, uint32_t flows)
{
	struct frame frame = {};

	for (uint32_t flow = 0; flow < flows; flow++) {
		uint32_t rule = flow % rules, host = (1ULL << (32 - prefix_of(workload, rule))) - 1;

		write_frame(&frame, workload, rules, RANDOM, 0);
		write_ip(&frame, (address_of(workload, rule) & ~host) | (flow & host), NEAR, 1024 + flow,
			 port_of(workload, rule));
		if (send(fd, &frame, sizeof(frame), 0) < 0)
			die("send");
		/* the receiving queue holds a thousand */
		if (flow % 256 == 255)
			usleep(1000);
	}
	return 0;
}

static int answer(uint32_t workload, uint32_t rules, uint32_t flows)
{
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	struct frame frame = {};

	for (uint32_t flow = 0; flow < flows; flow++) {
		uint32_t rule = flow % rules, host = (1ULL << (32 - prefix_of(workload, rule))) - 1;
		uint32_t far = (address_of(workload, rule) & ~host) | (flow & host);
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(far) };

		write_ip(&frame, NEAR, far, port_of(workload, rule), 1024 + flow);
		/* a flow that a rule denies has no answer */
		if (sendto(fd, &frame.ip, sizeof(frame) - sizeof(frame.eth), 0, (void *)&to, sizeof(to)) < 0 &&
		    errno != EPERM)
			die("sendto");
	}
	return 0;
}

/* sockets that are never read: what is too much is dropped, at the price of a full queue */
static int sink(void)
{
	char byte;

	for (int i = 0; i <= 50; i++) {
		struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(i == 50 ? 443 : 1000 + i) };
		int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 1;

		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		if (bind(fd, (void *)&at, sizeof(at)))
			die("bind");
	}
	puts("ready");
	fflush(stdout);
	return read(0, &byte, 1) < 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	uint32_t number[8] = {};

	for (int i = 2; i < argc && i < 8; i++)
		number[i] = strtoul(argv[i], NULL, 10);
	if (!strcmp(what, "send") && argc == 8)
		return send_for(wire(argv[2]), number[3], number[4], number[5], number[6], number[7] * 1e6);
	if (!strcmp(what, "open") && argc == 6)
		return open_flows(wire(argv[2]), number[3], number[4], number[5]);
	if (!strcmp(what, "answer") && argc == 5)
		return answer(number[2], number[3], number[4]);
	if (!strcmp(what, "sink"))
		return sink();
	return 2;
}
