/* A program that makes whoever inspects it wait in the kernel, where not even SIGKILL ends the wait. It mounts a file system of
 * its own, for which it needs no privilege, and leaves a request for the only file there unanswered. Meanwhile the kernel holds
 *   poll    the lock of its epoll set, which reading the set in /proc and changing it need
 *   memory  the lock of its memory, which reading its command line in /proc needs
 * It says so by making /srv/hangs/HOW. The file system is served by a child: the kernel aborts the request when the child is
 * killed. Else the program could never end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "serve.h"

static const char *how;
static int device, listener, epoll;

static void write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		exit(2);
	close(fd);
}

static struct fuse_attr attributes(uint64_t node)
{
	mode_t mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0666;
	return (struct fuse_attr){ .ino = node, .size = 4096, .mode = mode, .nlink = 1, .blksize = 4096 };
}

/* Answers with a structure, or with an error. */
static void reply(uint64_t unique, int error, const void *body, size_t length)
{
	struct { struct fuse_out_header header; char body[4096]; } out = { .header = { .error = -error, .unique = unique } };

	out.header.len = sizeof out.header + length;
	memcpy(out.body, body, length);
	write(device, &out, out.header.len);
}

static void serve_files(void)
{
	static char request[1 << 17];
	const struct fuse_in_header *in = (void *)request;
	int opened = 0;

	while (read(device, request, sizeof request) > 0) {
		struct fuse_init_out init = { .major = 7, .minor = 31, .max_write = 4096 };
		struct fuse_entry_out entry = { .nodeid = 2, .entry_valid = 1000, .attr_valid = 1000, .attr = attributes(2) };
		struct fuse_attr_out found = { .attr_valid = 1000, .attr = attributes(in->nodeid) };
		struct fuse_open_out open_out = { .fh = 1 };
		static const char page[4096];
		char path[64];

		if (in->opcode == FUSE_INIT) {
			reply(in->unique, 0, &init, sizeof init);
		} else if (in->opcode == FUSE_LOOKUP) {
			reply(in->unique, 0, &entry, sizeof entry);
		} else if (in->opcode == FUSE_GETATTR) {
			reply(in->unique, 0, &found, sizeof found);
		} else if (in->opcode == FUSE_OPEN) {
			/* The second time: to map it, the kernel first has to write the page that was changed. */
			open_out.open_flags = opened++ ? FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE : 0;
			reply(in->unique, 0, &open_out, sizeof open_out);
		} else if (in->opcode == FUSE_READ) {
			reply(in->unique, 0, page, sizeof page);
		} else if (in->opcode == FUSE_POLL || in->opcode == FUSE_WRITE) {
			snprintf(path, sizeof path, "/srv/hangs/%s", how);
			close(open(path, O_CREAT | O_WRONLY, 0644));
		} else {
			reply(in->unique, ENOSYS, NULL, 0);
		}
	}
}

static void mount_files(void)
{
	char line[64];
	int user = getuid(), group = getgid();

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		exit(3);
	write_to("/proc/self/setgroups", "deny");
	snprintf(line, sizeof line, "0 %d 1", user);
	write_to("/proc/self/uid_map", line);
	snprintf(line, sizeof line, "0 %d 1", group);
	write_to("/proc/self/gid_map", line);
	device = open("/dev/fuse", O_RDWR);
	snprintf(line, sizeof line, "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
	if (device < 0 || mount("hangs", "/srv/hangs/on", "fuse", MS_NOSUID | MS_NODEV, line))
		exit(4);
}

static void *hang(void *unused)
{
	int file = open("/srv/hangs/on/file", O_RDWR);
	struct epoll_event events = { .events = EPOLLIN };

	if (!strcmp(how, "poll")) {
		epoll_ctl(epoll, EPOLL_CTL_ADD, file, &events);
	} else {
		char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

		page[0] = 1;
		mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, open("/srv/hangs/on/file", O_RDWR), 0);
	}
	/* Not reached. */
	write_to("/dev/stderr", "nothing hangs\n");
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	struct epoll_event events = { .events = EPOLLIN };

	how = argv[1];
	mount_files();
	if (fork() == 0) {
		signal(SIGTERM, SIG_IGN);
		signal(SIGINT, SIG_IGN);
		serve_files();
		_exit(0);
	}
	close(device);
	listener = listen_on(3000);
	epoll = epoll_create1(0);
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &events);
	pthread_create(&thread, NULL, hang, NULL);
	for (;;)
		answer_one(listener);
}
