/*
 * Put vector operations (README of test/vectors) to this machine's KVM and print what it answered.
 *
 *   driver           requests on stdin, one line of answer for each on stdout, in order; ends with stdin
 *   driver --probe   print what this machine has, as name=value
 *
 * Numbers in requests are decimal or 0x hex, numbers in answers decimal. Requests may be sent ahead of the
 * answers.
 *
 *   request                                            answer
 *   seq VCPUS                                          0: the old VM is closed, a new empty one is open
 *   set SLOT FLAGS GPA SIZE HVA | badptr               RES; HVA is absolute, or +OFFSET into the arena
 *   set2 SLOT FLAGS GPA SIZE HVA OFFSET FD | badptr    RES; OFFSET and FD of the guest_memfd
 *   get_dirty_log SLOT [badptr]                        RES, and when 0: bytes written, dirty pages
 *   clear_dirty_log SLOT FIRST NUM BITS... | badptr    RES
 *   enable_cap CAP ARG0 FLAGS                          RES
 *   create_vcpu                                        RES
 *   sweep GPA N                                        N times 2 arena pages: written, touched; - is none
 *   write_guest GPA                                    arena pages written, |, arena pages read or written
 *
 * RES is 0 or -errno, as KVM answered. Exit statuses are those of fail.h.
 */
#define _GNU_SOURCE
#include "probe.h"

/* KVM leaves what it does not write; the vectors note how much it wrote. */
#define BITMAP_FILL 0xa5
#define BITMAP_FILL_WORD 0xa5a5a5a5a5a5a5a5ULL
#define WORD_BITS 64

/* An address that can be neither read nor written. */
static void *bad_pointer;
/* The request that is being read. */
static char *rest;
static uint64_t *bitmap;

static char *next_word(void)
{
	return strtok_r(NULL, " \n", &rest);
}

static uint64_t number_of(const char *word)
{
	char *end;
	uint64_t number;

	if (!word)
		fail(EX_DATAERR, "the request ends where a number is needed");
	errno = 0;
	number = strtoull(word, &end, 0);
	if (errno || *end || end == word)
		fail(EX_DATAERR, "\"%s\" is not a number of 64 bits", word);
	return number;
}

static uint64_t next_number(void)
{
	return number_of(next_word());
}

static int is_bad_pointer(const char *word)
{
	return word && strcmp(word, "badptr") == 0;
}

/* A bitmap that KVM can use for any slot of this VM, and a word more to see that it writes no further. */
static uint64_t bitmap_alloc(int fill)
{
	uint64_t words = (npages_max + WORD_BITS - 1) / WORD_BITS + 1;

	bitmap = realloc(bitmap, words * sizeof(*bitmap));
	if (!bitmap)
		fail(EX_OSERR, "no memory for a bitmap of %llu words", (unsigned long long)words);
	memset(bitmap, fill, words * sizeof(*bitmap));
	return words;
}

static void answer_seq(void)
{
	vm_open(next_number());
	puts("0");
}

static void answer_region(unsigned long request)
{
	struct kvm_userspace_memory_region2 region = { 0 };
	char *word = next_word();

	if (is_bad_pointer(word)) {
		printf("%d\n", res_of(ioctl(vm_fd, request, bad_pointer)));
		return;
	}
	region.slot = number_of(word);
	region.flags = next_number();
	region.guest_phys_addr = next_number();
	region.memory_size = next_number();
	word = next_word();
	region.userspace_addr = number_of(word) + (word && *word == '+' ? ARENA_START : 0);
	if (request == KVM_SET_USER_MEMORY_REGION2) {
		region.guest_memfd_offset = next_number();
		region.guest_memfd = next_number();
	}
	printf("%d\n", vm_set_region(request, &region));
}

static void answer_set(void)
{
	answer_region(KVM_SET_USER_MEMORY_REGION);
}

static void answer_set2(void)
{
	answer_region(KVM_SET_USER_MEMORY_REGION2);
}

static void answer_get_dirty_log(void)
{
	struct kvm_dirty_log log = { .slot = next_number() };
	uint64_t words = bitmap_alloc(BITMAP_FILL);
	int res;

	log.dirty_bitmap = is_bad_pointer(next_word()) ? bad_pointer : bitmap;
	res = res_of(ioctl(vm_fd, KVM_GET_DIRTY_LOG, &log));
	printf("%d", res);
	if (res == 0) {
		/* KVM writes whole words. That a last word of it equals the filling is not to be feared. */
		while (words > 0 && bitmap[words - 1] == BITMAP_FILL_WORD)
			words--;
		printf(" %llu", (unsigned long long)(words * sizeof(*bitmap)));
		for (uint64_t bit = 0; bit < words * WORD_BITS; bit++)
			if (bitmap[bit / WORD_BITS] >> (bit % WORD_BITS) & 1)
				printf(" %llu", (unsigned long long)bit);
	}
	putchar('\n');
}

static void answer_clear_dirty_log(void)
{
	struct kvm_clear_dirty_log log = { .slot = next_number() };
	char *word;

	log.first_page = next_number();
	log.num_pages = next_number();
	word = next_word();
	if (is_bad_pointer(word)) {
		log.dirty_bitmap = bad_pointer;
	} else {
		uint64_t words = bitmap_alloc(0);

		for (; word; word = next_word()) {
			uint64_t bit = number_of(word);

			/* KVM reads at most as many bits as a slot has pages: further ones are never seen. */
			if (bit / WORD_BITS < words)
				bitmap[bit / WORD_BITS] |= 1ULL << (bit % WORD_BITS);
		}
		log.dirty_bitmap = bitmap;
	}
	printf("%d\n", res_of(ioctl(vm_fd, KVM_CLEAR_DIRTY_LOG, &log)));
}

static void answer_enable_cap(void)
{
	struct kvm_enable_cap cap = { .cap = next_number() };

	cap.args[0] = next_number();
	cap.flags = next_number();
	printf("%d\n", res_of(ioctl(vm_fd, KVM_ENABLE_CAP, &cap)));
}

static void answer_create_vcpu(void)
{
	printf("%d\n", vcpu_create());
}

static void print_pages(const uint64_t *pages, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		printf("%llu ", (unsigned long long)pages[i]);
}

static void print_only_page(const uint64_t *pages, unsigned int count)
{
	if (count > 1)
		fail(EX_SOFTWARE, "an access inside one guest page reached %u pages", count);
	if (count == 0)
		fputs("- ", stdout);
	print_pages(pages, count);
}

static void answer_sweep(void)
{
	uint64_t gpa = next_number();
	uint64_t n = next_number();

	for (uint64_t i = 0; i < n; i++) {
		struct access access;

		vm_access(gpa + (i << PAGE_SHIFT) + PROBE_OFFSET, &access);
		print_only_page(access.wrote, access.wrote_count);
		print_only_page(access.touched, access.touched_count);
	}
	putchar('\n');
}

static void answer_write_guest(void)
{
	struct access access;

	vm_access(next_number(), &access);
	print_pages(access.wrote, access.wrote_count);
	fputs("| ", stdout);
	print_pages(access.touched, access.touched_count);
	putchar('\n');
}

static const struct {
	const char *name;
	void (*answer)(void);
} requests[] = {
	{ "seq", answer_seq },
	{ "set", answer_set },
	{ "set2", answer_set2 },
	{ "get_dirty_log", answer_get_dirty_log },
	{ "clear_dirty_log", answer_clear_dirty_log },
	{ "enable_cap", answer_enable_cap },
	{ "create_vcpu", answer_create_vcpu },
	{ "sweep", answer_sweep },
	{ "write_guest", answer_write_guest },
};

static void answer(char *line)
{
	const char *name = strtok_r(line, " \n", &rest);

	for (size_t i = 0; name && i < sizeof(requests) / sizeof(*requests); i++) {
		if (strcmp(name, requests[i].name))
			continue;
		if (vm_fd < 0 && requests[i].answer != answer_seq)
			fail(EX_DATAERR, "%s: no VM is open, the first request must be seq", name);
		requests[i].answer();
		if (next_word())
			fail(EX_DATAERR, "%s: the request goes on after its last argument", name);
		return;
	}
	fail(EX_DATAERR, "unknown request \"%s\"", name ? name : "");
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t size = 0;

	/* A line is one write, so that a reader that waits for an answer gets it. */
	setvbuf(stdout, NULL, _IOLBF, 1 << 16);
	bad_pointer = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bad_pointer == MAP_FAILED)
		fail(EX_OSERR, "cannot map the page of the bad pointer: %s", strerror(errno));
	kvm_open();
	arena_open();
	if (argc == 2 && strcmp(argv[1], "--probe") == 0) {
		probe();
		return 0;
	}
	if (argc != 1)
		fail(EX_USAGE, "usage: driver [--probe]");
	while (getline(&line, &size, stdin) > 0)
		answer(line);
	vm_close();
	return 0;
}
