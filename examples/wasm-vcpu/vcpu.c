/*
 * The vCPU of vcpu.wat in C. Its own data and stack lie below the guest's RAM in the one memory, where the linker
 * puts them: in the first 128 KiB.
 */
#include "memslots.h"

#define EXPORT(name) __attribute__((export_name(#name)))

static int32_t hole_count;

static int32_t *word_at(double hva) { return (int32_t *)(uintptr_t)hva; }

EXPORT(holes) int32_t holes(void) { return hole_count; }

/* Sum of `count` words from guest address `gpa` on, all from one layout. A hole counts as 0. */
EXPORT(sum) int32_t sum(uint32_t reader, double gpa, int32_t count) {
  uint32_t total = 0;
  hole_count = 0;
  memslots_enterSection(reader);
  for (int32_t i = 0; i < count; i++) {
    double hva = memslots_gpaToHvaRead(reader, gpa + 4.0 * i);
    if (hva < 0)
      hole_count++;
    else
      total += (uint32_t)*word_at(hva);
  }
  memslots_exitSection(reader);
  return (int32_t)total;
}

/* Store a word: 1, or 0 where the guest may not write. The page is marked after the bytes are there. */
EXPORT(store) int32_t store(uint32_t reader, double gpa, int32_t value) {
  int32_t stored = 0;
  memslots_enterSection(reader);
  double hva = memslots_gpaToHva(reader, gpa);
  if (hva >= 0) {
    *word_at(hva) = value;
    memslots_markDirty(reader, gpa);
    stored = 1;
  }
  memslots_exitSection(reader);
  return stored;
}
