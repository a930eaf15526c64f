/** What the headers of other languages share besides the memory map. */

/** A name in lower case, its words joined by underscores. */
export const snake = (text) => text.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();

/** Fields of a structure; one that extends another begins with its fields. */
export function fieldsOf({ base, fields }, classes) {
  return [...(classes.find(({ name }) => name === base)?.fields ?? []), ...fields];
}

/**
 * The argument of the RFC's ioctl: no part of the engine's memory, but what JavaScript takes as bytes of a list.
 * `count` elements make a field an array; 0 is one whose length the structure does not know.
 */
export const LIST = {
  doc: [
    "The argument of the RFC's KVM_SET_USER_MEMORY_REGION_LIST, as setUserMemoryRegionList of the package takes it:",
    "nent entries behind the head, flags 0. Whether an entry deletes or moves is derived: invalidate_slot is not read.",
  ].join("\n"),
  classes: [
    {
      name: "RegionEntry",
      bytes: 64,
      fields: [
        { name: "slot", type: "u32" },
        { name: "flags", type: "u32" },
        { name: "guestPhysAddr", type: "u64" },
        { name: "memorySize", type: "u64" },
        { name: "userspaceAddr", type: "u64" },
        { name: "invalidateSlot", type: "u8" },
        { name: "padding", type: "u8", count: 31 },
      ],
    },
    {
      name: "RegionList",
      bytes: 8,
      fields: [
        { name: "nent", type: "u32" },
        { name: "flags", type: "u32" },
        { name: "entries", type: "RegionEntry", count: 0 },
      ],
    },
  ],
};
