/*
 * The best that plain arrays do: a sorted array whose search never branches on a key, and one word per guest
 * page, which is what no index can beat by more than the memory it saves.
 */
#include <stdlib.h>

#include "yardsticks.h"

#define PAGES_MAX ((uint64_t)1 << 26)

struct sorted {
	size_t count;
	uint64_t *keys;
	struct range {
		uint32_t npages;
		uint32_t payload;
	} *ranges;
};

struct pagetable {
	uint64_t pages;
	uint32_t *payload;
};

struct sorted *sorted_create(const struct slot *slots, size_t count)
{
	struct sorted *sorted = malloc(sizeof(*sorted));

	sorted->count = count;
	sorted->keys = aligned_alloc(64, (count * sizeof(*sorted->keys) + 63) & ~(size_t)63);
	sorted->ranges = aligned_alloc(64, (count * sizeof(*sorted->ranges) + 63) & ~(size_t)63);
	for (size_t i = 0; i < count; i++) {
		sorted->keys[i] = slots[i].base_gfn;
		sorted->ranges[i].npages = slots[i].npages;
		sorted->ranges[i].payload = slots[i].payload;
	}
	return sorted;
}

void sorted_destroy(struct sorted *sorted)
{
	free(sorted->keys);
	free(sorted->ranges);
	free(sorted);
}

/* Opaque to the optimizer, which would turn the selection back into a branch. */
static inline const uint64_t *select_above(const uint64_t *above, const uint64_t *below, uint64_t key, uint64_t gfn)
{
#if defined(__x86_64__)
	__asm__("cmp %[key], %[gfn]\n\tcmovae %[above], %[below]"
		: [below] "+r"(below)
		: [above] "r"(above), [key] "r"(key), [gfn] "r"(gfn)
		: "cc");
	return below;
#else
	return key <= gfn ? above : below;
#endif
}

uint64_t sorted_find(const struct sorted *sorted, const uint64_t *gfns, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		const uint64_t *at = sorted->keys;
		const struct range *range;

		for (size_t n = sorted->count; n > 1; n -= n >> 1)
			at = select_above(at + (n >> 1), at, at[n >> 1], gfns[i]);
		range = &sorted->ranges[at - sorted->keys];
		sum += gfns[i] - *at < range->npages ? range->payload : 0;
	}
	return sum;
}

struct pagetable *pagetable_create(const struct slot *slots, size_t count)
{
	uint64_t pages = slots[count - 1].base_gfn + slots[count - 1].npages;
	struct pagetable *table;

	if (pages > PAGES_MAX)
		return NULL;
	table = malloc(sizeof(*table));
	table->pages = pages;
	table->payload = calloc(pages, sizeof(*table->payload));
	for (size_t i = 0; i < count; i++)
		for (uint32_t page = 0; page < slots[i].npages; page++)
			table->payload[slots[i].base_gfn + page] = slots[i].payload;
	return table;
}

void pagetable_destroy(struct pagetable *table)
{
	free(table->payload);
	free(table);
}

uint64_t pagetable_find(const struct pagetable *table, const uint64_t *gfns, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += gfns[i] < table->pages ? table->payload[gfns[i]] : 0;
	return sum;
}
