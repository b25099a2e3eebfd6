/* A server whose threads live only for a moment, so that the number of a thread that was just inspected is soon used again. */
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "serve.h"

static void *brief(void *unused)
{
	struct timespec moment = { .tv_nsec = 60000000 };
	pthread_t next;

	nanosleep(&moment, NULL);
	/* If no number is free for a successor, this thread lives on. */
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
	/* The main thread never waits, because the drain would choose a thread that waits. */
	for (;;)
		if (poll(&ready, 1, 0) > 0)
			answer_one(ready.fd);
}
