/*
 * A red-black tree of slots with a last-used slot before it: the shape of KVM's lookup (search_memslots and
 * try_get_memslot). As there, a node is a large object of which the search touches one line, and the objects
 * lie in memory in no order.
 */
#include <stdlib.h>
#include <string.h>

#include "yardsticks.h"

enum { RED, BLACK };

struct node {
	/* Two sets of hash and interval-tree links come first in struct kvm_memory_slot. */
	char other_links[128];
	struct node *parent, *left, *right;
	uintptr_t colour;
	uint64_t base_gfn;
	uint64_t npages;
	char arch[64];
	uint64_t userspace_addr;
	uint32_t payload;
} __attribute__((aligned(64)));

struct memslots {
	struct node *root;
	struct node *last_used;
	struct node *nodes;
};

static void rotate(struct memslots *slots, struct node *down, int to_left)
{
	struct node *up = to_left ? down->right : down->left;
	struct node *middle = to_left ? up->left : up->right;
	struct node *parent = down->parent;

	if (to_left) {
		down->right = middle;
		up->left = down;
	} else {
		down->left = middle;
		up->right = down;
	}
	if (middle)
		middle->parent = down;
	up->parent = parent;
	down->parent = up;
	if (!parent)
		slots->root = up;
	else if (parent->left == down)
		parent->left = up;
	else
		parent->right = up;
}

static void insert(struct memslots *slots, struct node *node)
{
	struct node **link = &slots->root, *parent = NULL;

	while (*link) {
		parent = *link;
		link = node->base_gfn < parent->base_gfn ? &parent->left : &parent->right;
	}
	node->parent = parent;
	node->left = node->right = NULL;
	node->colour = RED;
	*link = node;
	while ((parent = node->parent) && parent->colour == RED) {
		struct node *top = parent->parent;
		int left = top->left == parent;
		struct node *uncle = left ? top->right : top->left;

		if (uncle && uncle->colour == RED) {
			parent->colour = uncle->colour = BLACK;
			top->colour = RED;
			node = top;
			continue;
		}
		if (node == (left ? parent->right : parent->left)) {
			rotate(slots, parent, left);
			parent = node;
		}
		parent->colour = BLACK;
		top->colour = RED;
		rotate(slots, top, !left);
		break;
	}
	slots->root->colour = BLACK;
}

struct memslots *memslots_create(const struct slot *in, size_t count)
{
	struct memslots *slots = calloc(1, sizeof(*slots));
	size_t *order = malloc(count * sizeof(*order));
	uint64_t random = 0x9e3779b97f4a7c15;

	slots->nodes = aligned_alloc(64, count * sizeof(struct node));
	memset(slots->nodes, 0, count * sizeof(struct node));
	for (size_t i = 0; i < count; i++)
		order[i] = i;
	for (size_t i = count; i > 1; i--) {
		size_t j, swap;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		j = random % i;
		swap = order[i - 1];
		order[i - 1] = order[j];
		order[j] = swap;
	}
	for (size_t i = 0; i < count; i++) {
		struct node *node = &slots->nodes[i];

		node->base_gfn = in[order[i]].base_gfn;
		node->npages = in[order[i]].npages;
		node->userspace_addr = in[order[i]].userspace_addr;
		node->payload = in[order[i]].payload;
		insert(slots, node);
	}
	slots->last_used = slots->root;
	free(order);
	return slots;
}

void memslots_destroy(struct memslots *slots)
{
	free(slots->nodes);
	free(slots);
}

static inline struct node *search(const struct memslots *slots, uint64_t gfn)
{
	struct node *node = slots->root;

	while (node) {
		if (gfn >= node->base_gfn) {
			if (gfn < node->base_gfn + node->npages)
				return node;
			node = node->right;
		} else {
			node = node->left;
		}
	}
	return NULL;
}

static inline struct node *find(struct memslots *slots, uint64_t gfn)
{
	struct node *node = slots->last_used;

	if (gfn - node->base_gfn < node->npages)
		return node;
	node = search(slots, gfn);
	if (node)
		slots->last_used = node;
	return node;
}

uint64_t memslots_find(struct memslots *slots, const uint64_t *gfns, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		struct node *node = search(slots, gfns[i]);

		sum += node ? node->payload : 0;
	}
	return sum;
}

uint64_t memslots_find_last_used(struct memslots *slots, const uint64_t *gfns, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		struct node *node = find(slots, gfns[i]);

		sum += node ? node->payload : 0;
	}
	return sum;
}

int64_t memslots_translate(struct memslots *slots, const uint64_t *gfns, size_t count)
{
	int64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		struct node *node = find(slots, gfns[i]);

		sum += node ? (int64_t)(node->userspace_addr + ((gfns[i] - node->base_gfn) << 12)) : -1;
	}
	return sum;
}
