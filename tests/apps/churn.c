/* A server whose threads live for a moment each: the number of one that was looked at just now is somebody else's. */
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "serve.h"

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
	struct pollfd ready = { .fd = listen_on(3000), .events = POLLIN };
	pthread_t thread;

	for (int i = 0; i < atoi(argv[1]); i++)
		if (!pthread_create(&thread, NULL, brief, NULL))
			pthread_detach(thread);
	/* Never at rest, or the drain would take this one, which stays. */
	for (;;)
		if (poll(&ready, 1, 0) > 0)
			answer_one(ready.fd);
}
