/* A minimal server: a listener, and the same answer to every request. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int listen_on(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 100))
		exit(1);
	return listener;
}

/* Accepts a connection, if there is one, and answers. */
static void answer_one(int listener)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
	char request[4096];
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		return;
	read(fd, request, sizeof request);
	write(fd, text, sizeof text - 1);
	close(fd);
}
