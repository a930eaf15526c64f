/*
 * The yardsticks as a Node addon, so that they run in the same process, on the same memory and in turns with
 * the rest. Each call works on a whole batch; the price of the call itself is not in the result.
 */
#define NAPI_VERSION 8
#include <node_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "yardsticks.h"

#define ARGUMENTS_MAX 4

/* Everything that can be built from one set of slots. */
struct structures {
	struct memslots *memslots;
	struct sorted *sorted;
	struct pagetable *pagetable;
};

static void fail(napi_env env, const char *message)
{
	napi_throw_error(env, NULL, message);
}

static size_t arguments(napi_env env, napi_callback_info info, napi_value argv[ARGUMENTS_MAX])
{
	size_t argc = ARGUMENTS_MAX;

	napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
	return argc;
}

/* Start of a typed array, and its bytes. */
static void *bytes_of(napi_env env, napi_value value, size_t *bytes)
{
	static const size_t sizes[] = { 1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8 };
	napi_typedarray_type type;
	size_t length;
	void *data;

	if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok) {
		fail(env, "a typed array is needed");
		*bytes = 0;
		return NULL;
	}
	*bytes = length * sizes[type];
	return data;
}

static napi_value number(napi_env env, double value)
{
	napi_value result;

	napi_create_double(env, value, &result);
	return result;
}

static double number_of(napi_env env, napi_value value)
{
	double result = 0;

	napi_get_value_double(env, value, &result);
	return result;
}

static void destroy(napi_env env, void *data, void *hint)
{
	struct structures *built = data;

	(void)env, (void)hint;
	memslots_destroy(built->memslots);
	sorted_destroy(built->sorted);
	if (built->pagetable)
		pagetable_destroy(built->pagetable);
	free(built);
}

/* build(slots: typed array of struct slot): handle */
static napi_value build(napi_env env, napi_callback_info info)
{
	napi_value argv[ARGUMENTS_MAX], handle;
	struct structures *built;
	const struct slot *slots;
	size_t bytes, count;

	arguments(env, info, argv);
	slots = bytes_of(env, argv[0], &bytes);
	count = bytes / sizeof(*slots);
	if (!slots || count == 0)
		return NULL;
	built = malloc(sizeof(*built));
	built->memslots = memslots_create(slots, count);
	built->sorted = sorted_create(slots, count);
	built->pagetable = pagetable_create(slots, count);
	napi_create_external(env, built, destroy, NULL, &handle);
	return handle;
}

enum find { TREE, TREE_LAST_USED, SORTED, PAGE_TABLE, TRANSLATE };

/* find(handle, which, gfns: BigUint64Array): sum of the answers, -1 without such a structure */
static napi_value find(napi_env env, napi_callback_info info)
{
	napi_value argv[ARGUMENTS_MAX];
	struct structures *built;
	const uint64_t *gfns;
	size_t count;

	arguments(env, info, argv);
	if (napi_get_value_external(env, argv[0], (void **)&built) != napi_ok)
		return fail(env, "a handle is needed"), NULL;
	gfns = bytes_of(env, argv[2], &count);
	if (!gfns)
		return NULL;
	count /= sizeof(*gfns);
	switch ((enum find)number_of(env, argv[1])) {
	case TREE:
		return number(env, memslots_find(built->memslots, gfns, count));
	case TREE_LAST_USED:
		return number(env, memslots_find_last_used(built->memslots, gfns, count));
	case SORTED:
		return number(env, sorted_find(built->sorted, gfns, count));
	case PAGE_TABLE:
		return number(env, built->pagetable ? (double)pagetable_find(built->pagetable, gfns, count) : -1);
	case TRANSLATE:
		return number(env, memslots_translate(built->memslots, gfns, count));
	}
	return NULL;
}

/* sections(counters: typed array of 16 bytes, count, srcu: number) */
static napi_value sections(napi_env env, napi_callback_info info)
{
	napi_value argv[ARGUMENTS_MAX];
	size_t bytes;
	void *counters;

	arguments(env, info, argv);
	counters = bytes_of(env, argv[0], &bytes);
	if (!counters || bytes < 16)
		return NULL;
	if (number_of(env, argv[2]) != 0)
		readers_srcu(counters, (size_t)number_of(env, argv[1]));
	else
		readers_xchg(counters, (size_t)number_of(env, argv[1]));
	return NULL;
}

/* createVm(): file descriptor or negated errno */
static napi_value create_vm(napi_env env, napi_callback_info info)
{
	(void)info;
	return number(env, kvm_create());
}

static napi_value destroy_vm(napi_env env, napi_callback_info info)
{
	napi_value argv[ARGUMENTS_MAX];

	arguments(env, info, argv);
	kvm_destroy((int)number_of(env, argv[0]));
	return NULL;
}

/* setRegions(vm, regions: typed array of struct kvm_userspace_memory_region): nanoseconds of all ioctls together */
static napi_value set_regions(napi_env env, napi_callback_info info)
{
	napi_value argv[ARGUMENTS_MAX];
	struct timespec start, end;
	size_t bytes, done;
	void *regions;
	int error;

	arguments(env, info, argv);
	regions = bytes_of(env, argv[1], &bytes);
	if (!regions)
		return NULL;
	clock_gettime(CLOCK_MONOTONIC, &start);
	error = kvm_set_regions((int)number_of(env, argv[0]), regions, bytes / 32, &done);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (error) {
		char message[64];

		snprintf(message, sizeof(message), "KVM refuses region %zu: errno %d", done, -error);
		return fail(env, message), NULL;
	}
	return number(env, (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec));
}

NAPI_MODULE_INIT()
{
	static const napi_property_descriptor functions[] = {
		{ "build", 0, build, 0, 0, 0, napi_enumerable, 0 },
		{ "find", 0, find, 0, 0, 0, napi_enumerable, 0 },
		{ "sections", 0, sections, 0, 0, 0, napi_enumerable, 0 },
		{ "createVm", 0, create_vm, 0, 0, 0, napi_enumerable, 0 },
		{ "destroyVm", 0, destroy_vm, 0, 0, 0, napi_enumerable, 0 },
		{ "setRegions", 0, set_regions, 0, 0, 0, napi_enumerable, 0 },
	};

	napi_define_properties(env, exports, sizeof(functions) / sizeof(*functions), functions);
	return exports;
}
