// SPDX-License-Identifier: Apache-2.0
// Numbered UDP packets for traffic.ts. Both ends print a line of JSON ten times a second and a last one when
// their stdin closes.
//   flood send ADDRESS PORT PACKETS_PER_SECOND LIMIT_SECONDS     0 packets per second: as many as one core sends
//   flood receive PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define MAX_SEQUENCE (1ull << 30)

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int stdin_closed(void)
{
	struct pollfd p = { .fd = 0, .events = POLLIN };
	char byte;

	return poll(&p, 1, 0) > 0 && read(0, &byte, 1) <= 0;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int send_packets(char **arg)
{
	double rate = atof(arg[2]), limit = atof(arg[3]), start = now(), begun = start, reported = start;
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(arg[1])) };
	struct mmsghdr messages[BATCH];
	struct iovec vectors[BATCH];
	uint64_t payload[BATCH][2] = {}, sequence = 0;
	char text[64];
	int fd;

	/* one address family for both: IPv4 as a mapped address */
	snprintf(text, sizeof(text), strchr(arg[0], ':') ? "%s" : "::ffff:%s", arg[0]);
	if (inet_pton(AF_INET6, text, &to.sin6_addr) != 1)
		die(arg[0]);
	fd = socket(AF_INET6, SOCK_DGRAM, 0);
	if (fd < 0 || connect(fd, (void *)&to, sizeof(to)))
		die("connect");
	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ payload[i], sizeof(payload[i]) };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
	}
	for (double t = start; t - start < limit && sequence < MAX_SEQUENCE; t = now()) {
		int64_t due = rate > 0 ? (int64_t)((t - begun) * rate) - (int64_t)sequence : BATCH;
		int count = due > BATCH ? BATCH : (int)due;
		int sent;

		/* what it was kept from sending is not sent in a burst: that alone overflows a veth's ring of 256 packets */
		if (due > BATCH)
			begun += (due - BATCH) / rate;
		if (t - reported > 0.1) {
			reported = t;
			printf("{\"packets\":%llu}\n", (unsigned long long)sequence);
			fflush(stdout);
			if (stdin_closed())
				break;
		}
		if (count <= 0) {
			usleep(500);
			continue;
		}
		for (int i = 0; i < count; i++)
			payload[i][0] = sequence + i;
		sent = sendmmsg(fd, messages, count, 0);
		if (sent > 0)
			sequence += sent;
		else if (errno != ENOBUFS && errno != ECONNREFUSED && errno != EPERM && errno != EAGAIN)
			die("sendmmsg");
	}
	printf("{\"packets\":%llu,\"last\":true}\n", (unsigned long long)sequence);
	return 0;
}

static int receive_packets(char **arg)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(arg[0])) };
	struct timeval wait = { .tv_usec = 50000 };
	static uint64_t payload[BATCH][2];
	static unsigned char seen[MAX_SEQUENCE / 8];
	struct mmsghdr messages[BATCH];
	struct iovec vectors[BATCH];
	uint64_t received = 0, duplicates = 0, first = 0, last = 0, gap = 0, longest = 0;
	int silent = 0; /* waits in a row that brought nothing */
	int size = 64 << 20, one = 1, fd = socket(AF_INET6, SOCK_DGRAM, 0);
	double reported = now();

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) || bind(fd, (void *)&at, sizeof(at)))
		die("bind");
	printf("{\"packets\":0}\n");
	fflush(stdout);
	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ payload[i], sizeof(payload[i]) };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
	}
	for (;;) {
		int count = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);

		silent = count > 0 ? 0 : silent + 1;
		for (int i = 0; i < count; i++) {
			uint64_t n = payload[i][0];

			if (messages[i].msg_len != sizeof(payload[i]) || n >= MAX_SEQUENCE)
				continue;
			if (seen[n / 8] & 1 << n % 8) {
				duplicates++;
				continue;
			}
			seen[n / 8] |= 1 << n % 8;
			if (received++ == 0)
				first = n;
			last = n > last ? n : last;
		}
		if (now() - reported > 0.1) {
			reported = now();
			printf("{\"packets\":%llu}\n", (unsigned long long)received);
			fflush(stdout);
			/* what is queued already, or on its way, still counts */
			if (silent >= 4 && stdin_closed())
				break;
		}
	}
	for (uint64_t n = first; n < last; n++) {
		gap = seen[n / 8] & 1 << n % 8 ? 0 : gap + 1;
		longest = gap > longest ? gap : longest;
	}
	printf("{\"packets\":%llu,\"duplicates\":%llu,\"longestGap\":%llu,\"last\":true}\n", (unsigned long long)received,
	       (unsigned long long)duplicates, (unsigned long long)longest);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "send"))
		return send_packets(argv + 2);
	if (argc == 3 && !strcmp(argv[1], "receive"))
		return receive_packets(argv + 2);
	fprintf(stderr, "usage: flood send ADDRESS PORT RATE SECONDS | flood receive PORT\n");
	return 2;
}
