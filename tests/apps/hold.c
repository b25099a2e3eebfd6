/* A program that tries to delay its stop, or to harm another service by it. The second argument is the port.
 *   stopped   stops itself by SIGSTOP
 *   vfork     waits for a child of vfork(2), which never executes another program
 *   no-vdso   has unmapped its vDSO
 *   forks     forks again and again, and each process lives only for a moment
 *   accept    has 1,500 threads in accept(2)
 *   swap      replaces every new descriptor by a socket of another service
 *   shuffle   swaps that socket and the listener again and again */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "serve.h"

static int listener;

static void *answer(void *unused)
{
	for (;;)
		answer_one(listener);
	return unused;
}

static void forget_vdso(void)
{
	char line[256];
	unsigned long start, end;
	FILE *maps = fopen("/proc/self/maps", "r");

	while (fgets(line, sizeof line, maps))
		if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			munmap((void *)start, end - start);
	fclose(maps);
}

static void fork_on(void)
{
	for (;;) {
		pid_t child = fork();
		if (child > 0)
			_exit(0);
		usleep(500);
	}
}

/* Gets the socket of another service, share.py, which passes it to every client. */
static int receive(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/srv/share" };
	char byte, space[CMSG_SPACE(sizeof(int))];
	struct iovec bytes = { &byte, 1 };
	struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = space,
				  .msg_controllen = sizeof space };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof address) || recvmsg(fd, &message, 0) != 1)
		exit(3);
	close(fd);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
	return fd;
}

static void *shuffle(void *unused)
{
	int shared = receive(), kept = dup(listener);

	for (;;) {
		dup2(shared, listener);
		dup2(kept, listener);
		dup2(shared, kept);
		dup2(listener, kept);
	}
	return unused;
}

static void *swap(void *unused)
{
	int shared = fcntl(receive(), F_DUPFD, 100), first = dup(0);

	/* This number is free, so the next socket of this process gets it, even one that the drain makes. */
	close(first);
	for (;;)
		if (fcntl(first, F_GETFD) >= 0) {
			dup2(shared, first);
			usleep(2000);
			close(first);
		}
	return unused;
}

int main(int argc, char **argv)
{
	const char *how = argv[1];
	pthread_t thread;
	pthread_attr_t small;
	struct rlimit many = { 4096, 4096 };

	listener = listen_on(atoi(argv[2]));
	if (!strcmp(how, "stopped")) {
		kill(getpid(), SIGSTOP);
	} else if (!strcmp(how, "vfork")) {
		if (vfork() == 0)
			for (;;)
				pause();
	} else if (!strcmp(how, "no-vdso")) {
		forget_vdso();
	} else if (!strcmp(how, "forks")) {
		/* The main process stays, because the unit ends with it. */
		if (fork() == 0)
			fork_on();
	} else if (!strcmp(how, "accept")) {
		/* Every thread needs a descriptor for a connection. */
		setrlimit(RLIMIT_NOFILE, &many);
		pthread_attr_init(&small);
		pthread_attr_setstacksize(&small, 1 << 16);
		for (int i = 0; i < 1500; i++)
			if (pthread_create(&thread, &small, answer, NULL))
				exit(2);
	} else if (!strcmp(how, "swap") || !strcmp(how, "shuffle")) {
		struct pollfd ready = { .fd = listener, .events = POLLIN };
		pthread_create(&thread, NULL, strcmp(how, "swap") ? shuffle : swap, NULL);
		for (;;)
			poll(&ready, 1, -1);
	}
	answer(NULL);
}
