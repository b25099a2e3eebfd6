/* A server as in textbooks, which accepts one connection after the other in a blocking call. -4 and -6 choose the family. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return value ? value : "?";
}

int main(int argc, char **argv)
{
	int six = argc > 1 && !strcmp(argv[1], "-6");
	int port = atoi(variable("PORT"));
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (six ? bind(fd, (struct sockaddr *)&v6, sizeof v6) : bind(fd, (struct sockaddr *)&v4, sizeof v4))
		return perror("bind"), 1;
	if (listen(fd, 16))
		return perror("listen"), 1;
	for (;;) {
		char in[1000], out[200];
		int client = accept(fd, NULL, NULL);
		if (client < 0)
			return perror("accept"), 1;
		if (read(client, in, sizeof in) > 0) {
			int length = snprintf(out, sizeof out, "HTTP/1.0 200 OK\r\n\r\n%s %d",
					      variable("NODE_APP_INSTANCE"), getpid());
			if (write(client, out, length) != length)
				perror("write");
		}
		close(client);
	}
}
