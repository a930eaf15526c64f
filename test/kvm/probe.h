/*
 * What this machine's KVM has, and whether accesses can be observed in it at all.
 */
#ifndef MEMSLOTS_TEST_PROBE_H
#define MEMSLOTS_TEST_PROBE_H

#include "vm.h"

static int set_page(uint64_t gpa, uint64_t size)
{
	struct kvm_userspace_memory_region2 region = {
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = ARENA_START,
	};

	return vm_set_region(KVM_SET_USER_MEMORY_REGION, &region);
}

/* Highest width at which the last page can be mapped; no capability tells it. */
static unsigned int phys_addr_bits(void)
{
	unsigned int bits = 63;

	while (bits > PAGE_SHIFT && set_page((1ULL << bits) - PAGE_BYTES, PAGE_BYTES))
		bits--;
	set_page(0, 0);
	return bits;
}

/* Whether KVM keeps slots of its own below 4 GiB (APIC access page, identity map), where tests put theirs. */
static int has_internal_slots(void)
{
	int res = set_page(0xfe000000, 0x2000000);

	set_page(0, 0);
	return res == -EEXIST;
}

/* A VM that accesses cannot be observed in would make every test agree on nothing. */
static void check_observation(void)
{
	struct access access;
	int res = set_page(0, 2 * PAGE_BYTES);

	if (res)
		fail(EX_UNAVAILABLE, "KVM_SET_USER_MEMORY_REGION: %s", strerror(-res));
	vm_access(PAGE_BYTES + PROBE_OFFSET, &access);
	if (access.wrote_count != 1 || access.wrote[0] != 1)
		fail(EX_UNAVAILABLE, "KVM does not write its wall clock where the slot maps it");
	vm_access(2 * PAGE_BYTES + PROBE_OFFSET, &access);
	if (access.touched_count != 0)
		fail(EX_UNAVAILABLE, "pages of the arena are present that KVM did not reach");
	set_page(0, 0);
}

static int extension(unsigned long cap)
{
	int answer = ioctl(vm_fd, KVM_CHECK_EXTENSION, cap);

	return answer < 0 ? 0 : answer;
}

/* The flags below 8 with which a guest_memfd can be created: bit i for flags == i. */
static int guest_memfd_creations(void)
{
	int created = 0;

	for (int flags = 0; flags < 8; flags++) {
		struct kvm_create_guest_memfd request = { .size = PAGE_BYTES, .flags = flags };
		int fd = ioctl(vm_fd, KVM_CREATE_GUEST_MEMFD, &request);

		if (fd < 0)
			continue;
		close(fd);
		created |= 1 << flags;
	}
	return created;
}

static void probe(void)
{
	int address_spaces;

	vm_open(1);
	check_observation();
	address_spaces = extension(KVM_CAP_MULTI_ADDRESS_SPACE);
	printf("nr_memslots=%d\n", extension(KVM_CAP_NR_MEMSLOTS));
	printf("readonly_mem=%d\n", extension(KVM_CAP_READONLY_MEM));
	printf("user_memory2=%d\n", extension(KVM_CAP_USER_MEMORY2));
	printf("address_spaces=%d\n", address_spaces ? address_spaces : 1);
	printf("multi_address_space=%d\n", address_spaces);
	printf("phys_addr_bits=%u\n", phys_addr_bits());
	printf("internal_slots=%d\n", has_internal_slots());
	printf("guest_memfd=%d\n", extension(KVM_CAP_GUEST_MEMFD));
	printf("guest_memfd_flags=%d\n", extension(KVM_CAP_GUEST_MEMFD_FLAGS));
	printf("guest_memfd_creations=%d\n", guest_memfd_creations());
	printf("manual_dirty_log_protect2=%d\n", extension(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
	printf("dirty_log_ring=%d\n", extension(KVM_CAP_DIRTY_LOG_RING));
}

#endif
