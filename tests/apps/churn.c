/* A server whose threads live for a moment each: the number of one that was looked at just now is somebody else's. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int listener;

static void *brief(void *unused)
{
	struct timespec moment = { .tv_nsec = 60000000 };
	pthread_t next;

	nanosleep(&moment, NULL);
	/* Where there is no number for a successor this one lives on. */
	while (pthread_create(&next, NULL, brief, NULL))
		nanosleep(&moment, NULL);
	pthread_detach(next);
	return unused;
}

int main(int argc, char **argv)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(3000) };
	struct pollfd ready = { .events = POLLIN };
	pthread_t thread;

	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 5))
		return 1;
	for (int i = 0; i < atoi(argv[1]); i++)
		if (!pthread_create(&thread, NULL, brief, NULL))
			pthread_detach(thread);
	for (ready.fd = listener;;) {
		char request[4096];
		/* Never at rest, or the drain would take this one, which stays. */
		if (poll(&ready, 1, 0) <= 0)
			continue;
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		read(fd, request, sizeof request);
		write(fd, text, sizeof text - 1);
		close(fd);
	}
}
