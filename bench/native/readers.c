/*
 * Read sections as natively as they get: a pin set and cleared by exchanges, and two counters with full
 * barriers as in srcu_read_lock and srcu_read_unlock.
 */
#include "yardsticks.h"

void readers_xchg(uint32_t *pin, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		__atomic_exchange_n(pin, 1, __ATOMIC_SEQ_CST);
		__atomic_exchange_n(pin, 0, __ATOMIC_SEQ_CST);
	}
}

static inline void full_barrier(void)
{
#if defined(__x86_64__)
	/* smp_mb() of the kernel: half the price of mfence. */
	__asm__ volatile("lock; addl $0, -4(%%rsp)" ::: "memory", "cc");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

void readers_srcu(uint64_t counters[2], size_t count)
{
	volatile uint64_t *counter = counters;

	for (size_t i = 0; i < count; i++) {
		counter[0] = counter[0] + 1;
		full_barrier();
		full_barrier();
		counter[1] = counter[1] + 1;
	}
}
