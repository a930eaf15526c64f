/*
 * The real thing: memory slots of a KVM virtual machine without vCPUs, one ioctl per update.
 */
#include "yardsticks.h"

#include <errno.h>

#if defined(__linux__) && defined(__has_include)
#if __has_include(<linux/kvm.h>)
#define HAVE_KVM
#endif
#endif

#ifdef HAVE_KVM
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

int kvm_create(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm;

	if (kvm < 0)
		return -errno;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		vm = -errno;
	close(kvm);
	return vm;
}

void kvm_destroy(int vm)
{
	close(vm);
}

int kvm_set_regions(int vm, const void *regions, size_t count, size_t *done)
{
	const struct kvm_userspace_memory_region *region = regions;

	for (*done = 0; *done < count; ++*done)
		if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region[*done]) < 0)
			return -errno;
	return 0;
}
#else
int kvm_create(void)
{
	return -ENOSYS;
}

void kvm_destroy(int vm)
{
	(void)vm;
}

int kvm_set_regions(int vm, const void *regions, size_t count, size_t *done)
{
	(void)vm, (void)regions, (void)count;
	*done = 0;
	return -ENOSYS;
}
#endif
