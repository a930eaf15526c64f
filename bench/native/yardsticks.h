/*
 * Native yardsticks: the structures that the engine is measured against, built from the same slots and asked
 * for the same keys, both read from the engine's own linear memory.
 */
#ifndef YARDSTICKS_H
#define YARDSTICKS_H

#include <stddef.h>
#include <stdint.h>

/* One slot as JavaScript hands it over, ascending by base_gfn. Payload is what a lookup answers, never 0. */
struct slot {
	uint64_t base_gfn;
	uint64_t userspace_addr;
	uint32_t npages;
	uint32_t payload;
};

/* rbtree.c: the shape of KVM's gfn_tree with its last_used_slot. */
struct memslots;
struct memslots *memslots_create(const struct slot *slots, size_t count);
void memslots_destroy(struct memslots *slots);
uint64_t memslots_find(struct memslots *slots, const uint64_t *gfns, size_t count);
uint64_t memslots_find_last_used(struct memslots *slots, const uint64_t *gfns, size_t count);
/* Sum of host addresses; -1 for each frame that is not mapped. */
int64_t memslots_translate(struct memslots *slots, const uint64_t *gfns, size_t count);

/* arrays.c: a sorted array searched without branches, and an array with one word per guest page. */
struct sorted;
struct sorted *sorted_create(const struct slot *slots, size_t count);
void sorted_destroy(struct sorted *sorted);
uint64_t sorted_find(const struct sorted *sorted, const uint64_t *gfns, size_t count);

struct pagetable;
/* NULL if there are more than 2^26 pages. */
struct pagetable *pagetable_create(const struct slot *slots, size_t count);
void pagetable_destroy(struct pagetable *table);
uint64_t pagetable_find(const struct pagetable *table, const uint64_t *gfns, size_t count);

/* readers.c: entry into and exit from a read section, `count` times. */
void readers_xchg(uint32_t *pin, size_t count);
void readers_srcu(uint64_t counters[2], size_t count);

/* kvm.c: a VM without vCPUs. All return a value >= 0 or a negated errno. */
int kvm_create(void);
void kvm_destroy(int vm);
/* `count` struct kvm_userspace_memory_region, one ioctl each. `done` tells how many succeeded. */
int kvm_set_regions(int vm, const void *regions, size_t count, size_t *done);

#endif
