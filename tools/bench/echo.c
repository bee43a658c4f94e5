//go:build ignore

/*
 * The limit row of the benchmark: sends every datagram back with the response
 * bit set, many in one system call, and does nothing else. It runs until it is
 * ended by a signal.
 *
 *     cc -O2 -o echo echo.c && ./echo PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BATCH = 64, SIZE = 1232, HEADER = 12, QR = 0x80 };

static struct mmsghdr messages[BATCH];
static struct iovec vectors[BATCH];
static struct sockaddr_in from[BATCH];
static unsigned char data[BATCH][SIZE];

static int fail(const char *what)
{
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1, room = 4 << 20, fd;

	if (argc != 2 || atoi(argv[1]) < 1 || atoi(argv[1]) > 65535) {
		fprintf(stderr, "usage: echo PORT\n");
		return 2;
	}
	at.sin_port = htons(atoi(argv[1]));
	if ((fd = socket(AF_INET, SOCK_DGRAM, 0)) < 0)
		return fail("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one))
		return fail("SO_REUSEPORT");
	/* As the servers ask for; less is no fault. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
	if (bind(fd, (struct sockaddr *)&at, sizeof at))
		return fail("bind");

	for (int i = 0; i < BATCH; i++) {
		vectors[i].iov_base = data[i];
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
		messages[i].msg_hdr.msg_name = &from[i];
		vectors[i].iov_len = SIZE;
		messages[i].msg_hdr.msg_namelen = sizeof from[i];
	}
	for (;;) {
		int n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return fail("recvmmsg");
		}
		for (int i = 0; i < n; i++) {
			if (messages[i].msg_len >= HEADER)
				data[i][2] |= QR;
			vectors[i].iov_len = messages[i].msg_len;
		}
		for (int sent = 0; sent < n;) {
			int k = sendmmsg(fd, messages + sent, n - sent, MSG_DONTWAIT);
			if (k < 0 && errno == EINTR)
				continue;
			sent += k > 0 ? k : 1; /* what the socket does not take is lost */
		}
		for (int i = 0; i < n; i++) { /* recvmmsg and the above wrote the lengths */
			vectors[i].iov_len = SIZE;
			messages[i].msg_hdr.msg_namelen = sizeof from[i];
		}
	}
}
