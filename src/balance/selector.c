/*
 * The selector: gives each new connection of an address to one of the listeners of its SO_REUSEPORT group. Attached to the
 * group by src/balance/group.rs, from the instructions in selector.rs, which a test compares with clang's output for this file.
 *
 * Round robin over the instances that are on. An instance is passed over while the first connection in its accept queue has
 * waited for too long, because a program whose event loop is blocked would otherwise keep its share of all connections
 * waiting; for a second after that, a tenth of the time is too long. Before the round continues, a plan may assign the next
 * connections: to an instance that was just turned on and has fewer than the others, or to those with the fewest when the
 * clients of an instance that is off reconnect.
 *
 * With `balance = "source"` the client's address chooses, by a table that is written by the command which turns an instance
 * on or off. Before all of this, a connection from the source address of an instance goes to that instance, whether it is on
 * or off.
 *
 * Includes nothing, so that it does not depend on headers of a kernel. Maps and offsets are placeholders, which are
 * replaced when the program is loaded.
 */

typedef unsigned int u32;
typedef unsigned long long u64;

#define MAP(n) ((void *)(0x7e57000000000000ULL + (n)))
#define OFFSET(n) (0x7e570000 + (n))

/* See `enum bpf_func_id` in linux/bpf.h. */
static void *(*const lookup)(const void *map, const void *key) = (void *)1;
static u64 (*const now)(void) = (void *)5;
static long (*const load)(const void *context, u32 offset, void *to, u32 size, u32 from) = (void *)68;
static long (*const choose)(void *context, const void *map, void *key, u64 flags) = (void *)82;
static long (*const read)(void *to, u32 size, const void *from) = (void *)113;

/* Listeners by the number of their instance. */
#define SOCKETS MAP(1)
/* The numbers of the instances that are on, from index 0 without a gap, each with EXTRA or not. */
#define ON MAP(2)
/* Single numbers, see below. */
#define TURN MAP(3)
/* The observed state of the queue of each instance. */
#define SEEN MAP(4)
/* The instance of each client, by a hash of the client's address, see src/balance/homes.rs. */
#define HOMES MAP(5)
/* The instances that get the next connections, see src/balance/share.rs. */
#define PLAN MAP(6)
/* Who may reach an instance: GUARDED, and OPEN while it is on. */
#define DOORS MAP(7)
#define GUARDED 1
#define OPEN 2

/* Offsets of struct sk_reuseport_kern.selected_sk, of rskq_accept_head in struct inet_connection_sock, and of
 * skc_portpair in struct sock_common. */
#define SELECTED OFFSET(1)
#define ACCEPT_HEAD OFFSET(2)
#define PORTS OFFSET(3)
/* Not an offset, but 1 if the client's address chooses, otherwise 0. */
#define BY_SOURCE OFFSET(4)

/* An instance that exists only during a reload: no client's address chooses it. */
#define EXTRA (1u << 31)
#define NUMBER (EXTRA - 1)

/* The keys of TURN: how many are on, the next turn, two that older selectors read, and the nanoseconds after which a waiting
 * connection means that its instance is stuck, or 0 if the offsets are not known. */
enum { COUNT, NEXT, NEWCOMER, CREDIT, PATIENCE };

/* The largest number of attempts for one connection; the verifier needs a bound. */
#define ATTEMPTS 32

/* An instance that was stuck a moment ago is probably stuck again: for this time, in nanoseconds, the patience with it is
 * divided by SHORTER. */
#define MEMORY 1000000000
#define SHORTER 10
/* For an instance with fewer connections than the others the patience is longer: plans are carried out while programs start
 * and processors are busy. */
#define LONGER 10

struct seen {
	/* The first connection in the queue, and since when. */
	u64 first, since;
	/* When the instance was last found stuck. */
	u64 stuck;
};

#define PLANNED 4096

struct plan {
	u64 until;
	u32 next, count, shift, instance;
	unsigned short of[PLANNED];
};

#define BUCKETS 4096

struct homes {
	unsigned short of[BUCKETS];
};

#define DROP 0
#define PASS 1
#define INLINE static inline __attribute__((always_inline))

INLINE u32 *number(u32 key)
{
	return lookup(TURN, &key);
}

INLINE int is_stuck(void *context, u32 *instance, u32 longer)
{
	u64 socket = 0, head = 0, time, waits;
	u32 ports = 0;
	u32 *patience = number(PATIENCE);
	struct seen *seen = lookup(SEEN, instance);

	if (!patience || !*patience || !seen)
		return 0;
	read(&socket, sizeof(socket), (char *)context + SELECTED);
	read(&head, sizeof(head), (char *)socket + ACCEPT_HEAD);
	if (!head) {
		seen->first = 0;
		return 0;
	}
	/* The memory of an accepted connection is soon reused for another one, which has another port. */
	read(&ports, sizeof(ports), (char *)head + PORTS);
	head ^= (u64)ports << 32;
	time = now();
	if (seen->first != head) {
		seen->first = head;
		seen->since = time;
		return 0;
	}
	waits = time - seen->since;
	if (longer)
		return waits > *patience * LONGER;
	if (waits > *patience) {
		seen->stuck = time;
		return 1;
	}
	return waits > *patience / SHORTER && time - seen->stuck < MEMORY;
}

/* BPF_HDR_START_NET */
#define NETWORK 1

INLINE u32 mix(u32 n)
{
	n = (n ^ n >> 16) * 0x85ebca6b;
	n = (n ^ n >> 13) * 0xc2b2ae35;
	return n ^ n >> 16;
}

INLINE int is_by_source(void)
{
	u64 by;

	/* The compiler must not take the placeholder for its value. */
	__asm__ volatile("%0 = %1" : "=r"(by) : "i"(BY_SOURCE));
	return by != 0;
}

INLINE int read_client(void *context, u32 *client)
{
	unsigned char version;
	u32 address[4] = {0};

	/* A connection that moves away from a closing listener may come without a packet. */
	if (load(context, 0, &version, sizeof(version), NETWORK))
		return 0;
	if (version >> 4 == 4 ? load(context, 12, address, 4, NETWORK) : load(context, 8, address, 16, NETWORK))
		return 0;
	*client = mix(mix(mix(mix(address[0]) + address[1]) + address[2]) + address[3]);
	return 1;
}

INLINE int choose_by_source(void *context)
{
	u32 client = 0, only = 0, instance;
	struct homes *homes = lookup(HOMES, &only);

	if (!homes || !read_client(context, &client))
		return 0;
	instance = homes->of[client % BUCKETS];
	/* The listener of an instance that has crashed is closed. */
	return !choose(context, SOCKETS, &instance, 0);
}

INLINE int choose_planned(void *context)
{
	u32 only = 0, turn, instance;
	struct plan *plan = lookup(PLAN, &only);

	if (!plan || plan->next >= plan->count || now() > plan->until)
		return 0;
	turn = __sync_fetch_and_add(&plan->next, 1);
	if (turn >= plan->count)
		return 0;
	instance = plan->of[(turn >> (plan->shift & 31)) % PLANNED];
	return !choose(context, SOCKETS, &instance, 0) && !is_stuck(context, &instance, 1);
}

INLINE int share(void *context)
{
	u32 *count = number(COUNT), *next = number(NEXT);
	u32 instance, turn, i;

	/* When no instance is on, the kernel chooses among all. */
	if (!count || !next || !*count)
		return PASS;
	/* A stuck instance keeps its clients: no other instance knows their sessions. */
	if (is_by_source() && choose_by_source(context))
		return PASS;
	if (choose_planned(context))
		return PASS;
	turn = __sync_fetch_and_add(next, 1);
	for (i = 0; i < ATTEMPTS; i++) {
		u32 of = *count, slot, *on;

		if (i >= of)
			break;
		slot = (turn + i) % of;
		on = lookup(ON, &slot);
		if (!on)
			break;
		instance = *on & NUMBER;
		/* The listener of an instance that has crashed is closed. */
		if (choose(context, SOCKETS, &instance, 0))
			continue;
		if (!is_stuck(context, &instance, 0)) {
			/* The neighbour of an instance that is passed over would otherwise get a double share. */
			if (i)
				__sync_fetch_and_add(next, i);
			return PASS;
		}
	}
	/* All are stuck: choose the last possible one. */
	return PASS;
}

/* The beginning of the header of an IPv4 packet, up to its source. */
struct header {
	unsigned char version, between[11], source[4];
};

/* See src/contract/steer.rs. The kernel takes a packet with such a source from this host only. */
INLINE int is_steered(void *context, struct header *header)
{
	/* A connection that moves away from a closing listener may come without a packet. */
	if (load(context, 0, header, sizeof(*header), NETWORK))
		return 0;
	return header->version >> 4 == 4 && header->source[0] == 127 && header->source[1] == 114;
}

/* Whether an instance that is off may be reached: from a port below 1024, which requires a privilege. */
INLINE int may_enter(void *context, struct header *header, u32 *instance)
{
	unsigned char port[2] = {255};
	u32 *door = lookup(DOORS, instance);

	if (!door || *door != GUARDED)
		return 1;
	/* After the options of the header, which the client chooses as well. */
	if (load(context, (header->version & 15) * 4, port, sizeof(port), NETWORK))
		return 0;
	return port[0] < 4;
}

__attribute__((section("selector"), used)) int select(void *context)
{
	struct header header;
	u32 instance;

	if (!is_steered(context, &header))
		return share(context);
	instance = header.source[2] << 8 | header.source[3];
	/* No other instance answers for one without a listener: the client is refused. */
	if (!may_enter(context, &header, &instance) || choose(context, SOCKETS, &instance, 0))
		return DROP;
	return PASS;
}
