// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Packets of a workload as UDP over a wire, from one core and one after the other: the kernel receives each on the
 * same core, whose time is that of both ends.
 *
 *   traffic send INTERFACE WORKLOAD RULES MODE FLOWS MILLISECONDS [OBJECT]    prints nanoseconds a packet
 *   traffic open INTERFACE WORKLOAD RULES FLOWS                               the first packet of each flow
 *   traffic answer WORKLOAD RULES FLOWS                                       the answer to each, by the IP stack
 *   traffic sink                                                              takes what arrives, until stdin closes
 *
 * A socket sends, or with OBJECT, which is frames.bpf.c, XDP does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "frame.h"

#define BATCH 64
#define SLICES 20
/* packets of the shortest slice */
#define LEAST (8 * BATCH)

static void die(const char *what)
{
	perror(what);
	exit(1);
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

/*
 * The receiver's work is done on the core that sends. The last one, which gets the fewest interrupts, for all contenders:
 * of two cores one can be a third faster for a minute, as what shares its hardware is idle or not.
 */
static int stay_on_one_core(void)
{
	cpu_set_t allowed, one = {};
	int core = CPU_SETSIZE - 1;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		die("sched_getaffinity");
	while (!CPU_ISSET(core, &allowed))
		core--;
	CPU_SET(core, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		die("sched_setaffinity");
	return core;
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

/*
 * A new connection is one that no run before has sent: tables still hold those. No core sends 4096 packets in a millisecond,
 * so the next run begins beyond the last number of this one.
 */
static void start_afresh(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	count = (t.tv_sec * 1000 + t.tv_nsec / 1000000) << 12;
}

static int socket_on(uint32_t ifindex)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = ifindex };
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1;

	if (fd < 0 || bind(fd, (void *)&to, sizeof(to)))
		die("socket");
	if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)))
		die("PACKET_QDISC_BYPASS");
	return fd;
}

static void send_batch(int fd, struct mmsghdr *messages)
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

static void send_messages(int fd, const struct packets *packets, uint32_t number)
{
	static struct frame frames[BATCH];
	struct mmsghdr messages[BATCH] = {};
	struct iovec vectors[BATCH];

	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ &frames[i], sizeof(frames[i]) };
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (uint32_t sent = 0; sent < number; sent += BATCH) {
		for (int i = 0; i < BATCH; i++)
			write_frame(&frames[i], packets);
		send_batch(fd, messages);
	}
}

static int program_of(const char *path, const struct packets *packets)
{
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_map *constants = object ? bpf_object__find_map_by_name(object, ".rodata.packets") : NULL;

	if (!constants || bpf_map__set_initial_value(constants, packets, sizeof(*packets)) || bpf_object__load(object))
		die(path);
	return bpf_program__fd(bpf_object__find_program_by_name(object, "send_frame"));
}

/* what a run begins with, half a millisecond for new pages and the like, all its frames share */
static void send_frames(int program, const struct packets *packets, uint32_t number)
{
	struct frame frame;
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = &frame, .data_size_in = sizeof(frame), .repeat = number,
		    .batch_size = BATCH, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	write_frame(&frame, packets);
	if (bpf_prog_test_run_opts(program, &run))
		die("BPF_PROG_TEST_RUN");
}

/* what the other end took of this interface's: a full queue drops a frame, and tells nobody */
static uint64_t taken(const char *interface)
{
	char path[64], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/tx_packets", interface);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		die(path);
	close(fd);
	return strtoull(text, NULL, 10);
}

static int ascending(const void *a, const void *b)
{
	return *(const double *)a < *(const double *)b ? -1 : 1;
}

struct sender {
	void (*send)(int fd, const struct packets *packets, uint32_t number);
	int fd, deferred;
	uint64_t sent;
};

static double time_slice(struct sender *sender, const struct packets *packets, uint32_t number)
{
	double start = spent_so_far(sender->deferred);

	sender->send(sender->fd, packets, number);
	sender->sent += number;
	return spent_so_far(sender->deferred) - start;
}

/* the median of short slices: interrupts and the like take some of them */
static int send_for(const char *interface, const struct packets *packets, double duration, const char *object)
{
	struct sender sender = { .send = object ? send_frames : send_messages };
	uint64_t before = taken(interface);
	uint32_t number = LEAST;
	double slices[SLICES];

	sender.fd = object ? program_of(object, packets) : socket_on(packets->ifindex);
	sender.deferred = deferred_work(stay_on_one_core());
	if (sender.deferred < 0)
		die("ksoftirqd");
	while (time_slice(&sender, packets, number) < duration / SLICES)
		number *= 2;
	for (int slice = 0; slice < SLICES; slice++)
		slices[slice] = time_slice(&sender, packets, number) / number;
	/* deferred work may last */
	for (int wait = 0; wait < 100 && taken(interface) - before < sender.sent; wait++)
		usleep(10000);
	if (taken(interface) - before < sender.sent) {
		fprintf(stderr, "%lu of %lu packets arrived\n", taken(interface) - before, sender.sent);
		return 1;
	}
	qsort(slices, SLICES, sizeof(slices[0]), ascending);
	printf("%.1f\n", slices[SLICES / 2]);
	return 0;
}

static int open_flows(int fd, const struct packets *packets)
{
	uint32_t rules = packets->rules, workload = packets->workload;
	struct frame frame;

	for (uint32_t flow = 0; flow < packets->flows; flow++) {
		uint32_t rule = flow % rules, host = (1ULL << (32 - prefix_of(workload, rule))) - 1;

		write_frame(&frame, packets);
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
	if (!strcmp(what, "send") && (argc == 8 || argc == 9)) {
		struct packets packets = { number[3], number[4], number[5], number[6], if_nametoindex(argv[2]) };

		start_afresh();
		return send_for(argv[2], &packets, number[7] * 1e6, argv[8]);
	}
	if (!strcmp(what, "open") && argc == 6) {
		struct packets packets = { number[3], number[4], RANDOM, number[5], if_nametoindex(argv[2]) };

		return open_flows(socket_on(packets.ifindex), &packets);
	}
	if (!strcmp(what, "answer") && argc == 5)
		return answer(number[2], number[3], number[4]);
	if (!strcmp(what, "sink"))
		return sink();
	return 2;
}
