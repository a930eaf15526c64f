/*
 * One VM of the host's KVM, and the guest accesses that KVM makes in it.
 *
 * KVM_SET_MSRS of MSR_KVM_WALL_CLOCK_NEW makes KVM write its wall clock to guest memory through the active
 * memslots: read 4 bytes, stop if that fails; write 4, stop if that fails; write 12; write 4. Each goes
 * page by page up to the first that fails. No guest runs, so any address can be probed.
 */
#ifndef MEMSLOTS_TEST_VM_H
#define MEMSLOTS_TEST_VM_H

#include <unistd.h>

#include "arena.h"

#define KVM_API_VERSION_WANTED 12
/* Added to the address of a page that is probed: KVM takes wall clock address 0 for "no wall clock". */
#define PROBE_OFFSET 0x10

static int kvm_fd = -1;
static int vm_fd = -1;
/* The vCPU that accesses are made by; later ones are only created. */
static int vcpu_fd = -1;
static unsigned int vcpus;
/* Most pages that a slot of this VM ever had: no dirty bitmap that KVM copies is longer. */
static uint64_t npages_max;

/* The errno of KVM as the vectors note it: 0 or more as it is, -errno else. */
static int res_of(int result)
{
	return result < 0 ? -errno : result;
}

static void kvm_open(void)
{
	kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm_fd < 0)
		fail(EX_UNAVAILABLE, "cannot open /dev/kvm: %s", strerror(errno));
	if (ioctl(kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION_WANTED)
		fail(EX_UNAVAILABLE, "/dev/kvm has another API version than %d", KVM_API_VERSION_WANTED);
}

static int vcpu_create(void)
{
	int fd = ioctl(vm_fd, KVM_CREATE_VCPU, (unsigned long)vcpus);

	if (fd < 0)
		return -errno;
	vcpus++;
	/* The descriptors of further vCPUs are not used; the VM keeps the vCPU. */
	if (vcpu_fd < 0)
		vcpu_fd = fd;
	else
		close(fd);
	return 0;
}

static void vm_close(void)
{
	if (vcpu_fd >= 0)
		close(vcpu_fd);
	if (vm_fd >= 0)
		close(vm_fd);
	vcpu_fd = vm_fd = -1;
	vcpus = 0;
	npages_max = 0;
}

static void vm_open(unsigned int vcpu_count)
{
	vm_close();
	arena_reset();
	vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0UL);
	if (vm_fd < 0)
		fail(EX_UNAVAILABLE, "KVM_CREATE_VM: %s", strerror(errno));
	while (vcpus < vcpu_count) {
		int res = vcpu_create();

		if (res)
			fail(EX_UNAVAILABLE, "KVM_CREATE_VCPU: %s", strerror(-res));
	}
}

/* Any of the two ioctls: the second struct begins with the first. */
static int vm_set_region(unsigned long request, const struct kvm_userspace_memory_region2 *region)
{
	int res = res_of(ioctl(vm_fd, request, region));

	if (res == 0 && region->memory_size >> PAGE_SHIFT > npages_max)
		npages_max = region->memory_size >> PAGE_SHIFT;
	return res;
}

/* What KVM's wall clock reached at a guest address. */
static void vm_access(uint64_t gpa, struct access *access)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = MSR_KVM_WALL_CLOCK_NEW, .data = gpa } };

	if (vcpu_fd < 0)
		fail(EX_DATAERR, "an access needs a vCPU, this VM has none");
	/* KVM answers 1 (one MSR set) whether or not the memory could be reached. */
	if (ioctl(vcpu_fd, KVM_SET_MSRS, &msrs) != 1)
		fail(EX_UNAVAILABLE, "KVM_SET_MSRS of MSR_KVM_WALL_CLOCK_NEW: %s", strerror(errno));
	arena_observe(access);
}

#endif
