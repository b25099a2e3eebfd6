/* Binds again and again while a timer keeps sending signals, like the runtime of Go. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static void ignore(int signal) { (void)signal; }

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1, interrupted = 0;
	struct sigaction action = { .sa_handler = ignore, .sa_flags = SA_RESTART };
	struct itimerval often = { { 0, 100 }, { 0, 100 } };
	struct sockaddr_in address = { .sin_family = AF_INET };

	address.sin_port = htons(atoi(getenv("PORT")));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < rounds; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
			if (errno != EINTR)
				return perror("bind"), 1;
			interrupted++;
		}
		if (listen(fd, 5) < 0 && errno == EINTR)
			interrupted++;
		if (i + 1 < rounds)
			close(fd);
	}
	printf("interrupted %d of %d\n", interrupted, rounds);
	fflush(stdout);
	for (;;)
		pause();
}
