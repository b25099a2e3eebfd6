/* A service that has nothing to do with any app. It forks without end, and each child checks that nothing disturbs it.
 * /srv/noticed has what children have noticed, and /srv/children their number. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WELL = 7, CUT_SHORT, TRACED, WRONG_PARENT };

static const char *const words[] = { [CUT_SHORT] = "a call was cut short", [TRACED] = "it was traced",
				     [WRONG_PARENT] = "a call made another" };

static int is_traced(void)
{
	char status[2048];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t length = read(fd, status, sizeof status - 1);
	const char *line;

	close(fd);
	status[length < 0 ? 0 : length] = 0;
	line = strstr(status, "TracerPid:");
	return line && atoi(line + 10);
}

static int child(pid_t parent)
{
	struct timespec moment = { .tv_nsec = 5000000 };
	int fds = dup(0);

	for (int i = 0; i < 2; i++)
		if (nanosleep(&moment, NULL))
			return CUT_SHORT;
	if (getppid() != parent || dup(0) != fds + 1)
		return WRONG_PARENT;
	return is_traced() ? TRACED : WELL;
}

static void note(int status)
{
	FILE *file = fopen("/srv/noticed", "a");

	if (WIFSIGNALED(status))
		fprintf(file, "it died of signal %d\n", WTERMSIG(status));
	else if (WEXITSTATUS(status) < sizeof words / sizeof *words && words[WEXITSTATUS(status)])
		fprintf(file, "%s\n", words[WEXITSTATUS(status)]);
	else
		fprintf(file, "it ended with %d\n", WEXITSTATUS(status));
	fclose(file);
}

int main(int argc, char **argv)
{
	pid_t self = getpid();
	int status, running = 0;
	long children = 0;

	for (;;) {
		pid_t forked = running < atoi(argv[1]) ? fork() : -1;
		if (forked == 0)
			_exit(child(self));
		if (forked > 0) {
			running++;
			if (++children % 1000 == 0) {
				FILE *file = fopen("/srv/children", "w");
				fprintf(file, "%ld\n", children);
				fclose(file);
			}
			continue;
		}
		if (wait(&status) < 0)
			continue;
		running--;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != WELL)
			note(status);
	}
}
