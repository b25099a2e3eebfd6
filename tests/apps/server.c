/* The interpreter of tests/apps/graceful: a server that starts in a millisecond, where Node needs a tenth of a second.
 *
 * A file is a list of statements, one in a line, which are carried out in order. After the last one the server answers.
 *   listen PORT     binds and listens as Node does: IPv6 and IPv4 on one socket
 *   answer TEXT     the text of each answer, in which $PID, the variables of the environment, \n and \e (ESC) are replaced
 *   status NUMBER   the status of each answer
 *   takes MS        how long an answer takes
 *   finish SIGINT   at this signal: accepts no more, finishes the requests that have begun, and ends
 *   say TEXT        writes a line
 *   sleep MS        does nothing for this time, and answers nobody
 *   exit STATUS     ends
 *   needs PATH      ends with status 1 while there is no such file
 *   awaits PATH     does nothing until there is such a file
 *   throw TEXT      ends like a Node program with an uncaught `new Error(TEXT)`
 *   in N STATEMENT  carries the statement out in instance N alone
 * Anything else ends like a Node program with a syntax error. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A connection; `due` is the time of the answer to the request at the beginning of `in`, or 0 while there is none. */
struct client {
	int fd;
	long due;
	size_t length, request;
	int last;
	char in[65536];
	struct client *next;
};

static const char *file;
static int line, listener = -1, events;
static long takes, status = 200;
static char body[4096];
static struct client *clients;
static volatile sig_atomic_t told;
static int finishing;

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void fail(const char *kind, const char *what)
{
	fprintf(stderr, "%s:%d\n\n%s: %s\n    at %s:%d:1\n\nserver.c\n", file, line, kind, what, file, line);
	exit(1);
}

static void on_signal(int number)
{
	told = number;
}

static void listen_on(int port)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct epoll_event event = { .events = EPOLLIN };
	int yes = 1, no = 0;

	listener = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 511)) {
		char what[200];

		snprintf(what, sizeof what, "listen %s: %s :::%d", strerrorname_np(errno), strerror(errno), port);
		fail("Error", what);
	}
	epoll_ctl(events, EPOLL_CTL_ADD, listener, &event);
}

/* Writes `text` into the body, with the values of the variables. */
static void answer(const char *text)
{
	char name[64];
	size_t length = 0;

	while (*text && length < sizeof body - 1) {
		int used = 0;

		if (*text == '\\' && (text[1] == 'n' || text[1] == 'e')) {
			body[length++] = text[1] == 'n' ? '\n' : '\033';
			text += 2;
			continue;
		}
		if (sscanf(text, "$%63[A-Z_]%n", name, &used) != 1) {
			body[length++] = *text++;
			continue;
		}
		text += used;
		const char *value = getenv(name) ? getenv(name) : "undefined";
		const char *format = strcmp(name, "PID") ? "%s" : "%.0s%d";
		length += snprintf(body + length, sizeof body - length, format, value, (int)getpid());
		if (length >= sizeof body)
			fail("RangeError", "the text is too long");
	}
	body[length] = 0;
}

static void finish_at(const char *name)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t blocked;

	if (strcmp(name, "SIGINT"))
		fail("TypeError", "unknown signal");
	/* It arrives in epoll_pwait() alone, so that none is missed between a look at `told` and the call. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	sigaction(SIGINT, &action, NULL);
}

static void carry_out(char *text)
{
	const char *instance = getenv("NODE_APP_INSTANCE");
	char *word = strsep(&text, " ");

	if (!*word || *word == '#')
		return;
	if (!text)
		fail("SyntaxError", word);
	if (!strcmp(word, "listen"))
		listen_on(atoi(text));
	else if (!strcmp(word, "answer"))
		answer(text);
	else if (!strcmp(word, "status"))
		status = atol(text);
	else if (!strcmp(word, "takes"))
		takes = atol(text);
	else if (!strcmp(word, "finish"))
		finish_at(text);
	else if (!strcmp(word, "say"))
		printf("%s\n", text);
	else if (!strcmp(word, "sleep"))
		usleep(atol(text) * 1000);
	else if (!strcmp(word, "exit"))
		exit(atoi(text));
	else if (!strcmp(word, "needs")) {
		if (access(text, F_OK))
			exit(1);
	} else if (!strcmp(word, "awaits")) {
		while (access(text, F_OK))
			usleep(10000);
	} else if (!strcmp(word, "throw"))
		fail("Error", text);
	else if (strcmp(word, "in"))
		fail("SyntaxError", word);
	else if (strcmp(strsep(&text, " "), instance ? instance : "") == 0 && text)
		carry_out(text);
}

static void drop(struct client *client)
{
	struct client **at = &clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	/* close(2) alone leaves the registration while another process has the connection as well, as a drain may. */
	epoll_ctl(events, EPOLL_CTL_DEL, client->fd, NULL);
	close(client->fd);
	free(client);
}

/* Sees whether a whole request has arrived, and when it will be answered. */
static void look(struct client *client)
{
	char *end, *field;

	client->in[client->length] = 0;
	end = strstr(client->in, "\r\n\r\n");
	if (!end || client->due)
		return;
	*end = 0;
	field = strcasestr(client->in, "\r\ncontent-length:");
	client->request = end + 4 - client->in + (field ? strtoul(field + 17, NULL, 10) : 0);
	client->last = strcasestr(client->in, "\r\nconnection: close") || strstr(client->in, " HTTP/1.0");
	*end = '\r';
	if (client->length >= client->request)
		client->due = now() + takes;
}

/* Reads what has arrived; returns 0 if that was the end. */
static int receive(struct client *client)
{
	ssize_t got = recv(client->fd, client->in + client->length, sizeof client->in - 1 - client->length, 0);

	if (got < 0 && errno == EAGAIN)
		return 1;
	if (!got && client->due) {
		/* A client that sends no more may still wait for its answer. */
		client->last = 1;
		epoll_ctl(events, EPOLL_CTL_DEL, client->fd, NULL);
		return 1;
	}
	if (got <= 0) {
		drop(client);
		return 0;
	}
	client->length += got;
	look(client);
	return 1;
}

static void reply(struct client *client)
{
	char text[sizeof body + 200];
	int last = client->last || finishing;
	int length = snprintf(text, sizeof text, "HTTP/1.1 %ld %s\r\nConnection: %s\r\nContent-Length: %zu\r\n\r\n%s",
			      status, status == 200 ? "OK" : "Internal Server Error",
			      last ? "close" : "keep-alive", strlen(body), body);

	if (send(client->fd, text, length, MSG_NOSIGNAL) < 0 || last) {
		drop(client);
		return;
	}
	client->length -= client->request;
	memmove(client->in, client->in + client->request, client->length);
	client->due = 0;
	look(client);
}

static void accept_all(void)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct client *client = malloc(sizeof *client);
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

		client->fd = fd;
		client->due = client->length = 0;
		client->next = clients;
		clients = client;
		epoll_ctl(events, EPOLL_CTL_ADD, fd, &event);
	}
}

/* Closes the listener and what is idle. What has arrived meanwhile is a request that has begun. */
static void finish(void)
{
	struct client *client, *next;

	finishing = 1;
	close(listener);
	for (client = clients; client; client = next) {
		next = client->next;
		if (receive(client) && !client->length)
			drop(client);
	}
}

/* Answers what is due; returns the time until the next answer, or -1. */
static int answer_due(void)
{
	struct client *client, *next;
	long time = now(), first = -1;

	for (client = clients; client; client = next) {
		next = client->next;
		if (client->due && client->due <= time)
			reply(client);
	}
	for (client = clients; client; client = client->next)
		if (client->due && (first < 0 || client->due - time < first))
			first = client->due > time ? client->due - time : 0;
	return first;
}

int main(int argc, char **argv)
{
	struct epoll_event event;
	sigset_t none;
	char text[4096];
	FILE *script = argc > 1 ? fopen(file = argv[1], "r") : NULL;

	if (!script)
		return 1;
	events = epoll_create1(EPOLL_CLOEXEC);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(text, sizeof text, script)) {
		line++;
		text[strcspn(text, "\n")] = 0;
		carry_out(text);
	}
	fclose(script);
	sigemptyset(&none);
	while (!finishing || clients) {
		if (epoll_pwait(events, &event, 1, answer_due(), &none) > 0) {
			if (event.data.ptr)
				receive(event.data.ptr);
			else
				accept_all();
		}
		if (told && !finishing)
			finish();
	}
	return 0;
}
