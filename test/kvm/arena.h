/*
 * The arena: the one host mapping that the slots of a VM map, and the way to see which of its pages KVM
 * reached.
 *
 * A private anonymous page that was only read is the shared zero page, one that was written is a page of its
 * own. PAGEMAP_SCAN tells the two apart without touching them. Content would not do: KVM can write a 0.
 * Every observation empties the pages it saw, so that the next one starts from an arena without any page.
 */
#ifndef MEMSLOTS_TEST_ARENA_H
#define MEMSLOTS_TEST_ARENA_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sysexits.h>

#include "fail.h"
#include "uapi.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGE_SHIFT 12
#define PAGE_BYTES (1ULL << PAGE_SHIFT)
#define ARENA_START 0x100000000000ULL
#define ARENA_BYTES (1ULL << 40)
/* End of user addresses with 4-level paging, and how much below it must not be memory of this program. */
#define USER_END 0x7ffffffff000ULL
#define USER_END_RESERVED (64 * PAGE_BYTES)
/* An access of 12 bytes meets 2 pages; room for more, so that a KVM that touches more is caught. */
#define ACCESS_PAGES_MAX 16

/* Arena pages that one access reached, ascending. */
struct access {
	unsigned int wrote_count;
	unsigned int touched_count;
	uint64_t wrote[ACCESS_PAGES_MAX];
	uint64_t touched[ACCESS_PAGES_MAX];
};

static int pagemap_fd = -1;

static void map_fixed(uint64_t start, uint64_t bytes, int prot, int flags, const char *what)
{
	void *wanted = (void *)(uintptr_t)start;
	void *got = mmap(wanted, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);

	if (got == MAP_FAILED)
		fail(EX_UNAVAILABLE, "cannot map %s at 0x%llx: %s", what, (unsigned long long)start, strerror(errno));
	/* Kernels before 4.17 take MAP_FIXED_NOREPLACE for a hint. */
	if (got != wanted)
		fail(EX_UNAVAILABLE, "%s was mapped at %p, not at 0x%llx", what, got, (unsigned long long)start);
}

static void arena_map(int flags)
{
	map_fixed(ARENA_START, ARENA_BYTES, PROT_READ | PROT_WRITE, flags, "the arena");
	/* A huge page would make 512 pages present by one access. A kernel without huge pages refuses: as good. */
	madvise((void *)(uintptr_t)ARENA_START, ARENA_BYTES, MADV_NOHUGEPAGE);
}

static void arena_open(void)
{
	arena_map(MAP_FIXED_NOREPLACE);
	/* Slots may map the last user pages. With KVM writing to them, they must not be this program's stack. */
	map_fixed(USER_END - USER_END_RESERVED, USER_END_RESERVED, PROT_NONE, MAP_FIXED_NOREPLACE,
		  "a reservation below the end of user addresses");
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap_fd < 0)
		fail(EX_UNAVAILABLE, "cannot open /proc/self/pagemap: %s", strerror(errno));
}

/* For a new VM: the page tables of the last one go too, which every scan would walk. */
static void arena_reset(void)
{
	arena_map(MAP_FIXED);
}

static void arena_empty(uint64_t start, uint64_t end)
{
	if (madvise((void *)(uintptr_t)start, end - start, MADV_DONTNEED))
		fail(EX_OSERR, "madvise(MADV_DONTNEED): %s", strerror(errno));
}

static void access_add(struct access *access, uint64_t page, int written)
{
	if (access->touched_count == ACCESS_PAGES_MAX)
		fail(EX_SOFTWARE, "one access reached more than %d pages", ACCESS_PAGES_MAX);
	access->touched[access->touched_count++] = page;
	if (written)
		access->wrote[access->wrote_count++] = page;
}

static void arena_observe(struct access *access)
{
	struct page_region regions[ACCESS_PAGES_MAX + 1];
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = ARENA_START,
		.end = ARENA_START + ARENA_BYTES,
		.vec = (uintptr_t)regions,
		.vec_len = ACCESS_PAGES_MAX + 1,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_PFNZERO,
	};
	long found = ioctl(pagemap_fd, PAGEMAP_SCAN, &scan);

	if (found < 0)
		fail(EX_UNAVAILABLE, "PAGEMAP_SCAN, which came with Linux 6.7: %s", strerror(errno));
	*access = (struct access){ 0 };
	for (long i = 0; i < found; i++) {
		int written = !(regions[i].categories & PAGE_IS_PFNZERO);

		for (uint64_t at = regions[i].start; at < regions[i].end; at += PAGE_BYTES)
			access_add(access, (at - ARENA_START) >> PAGE_SHIFT, written);
		/* Not the whole arena: KVM's MMU notifier walks every page of every slot in the range. */
		arena_empty(regions[i].start, regions[i].end);
	}
}

#endif
