/** All behaviour suites of one implementation. */
import type { Create } from "../support/implementation.js";
import { addressSpacesSuite } from "./address-spaces.js";
import { allOrNothingSuite } from "./all-or-nothing.js";
import { badInputSuite } from "./bad-input.js";
import { dirtyBitmapSuite } from "./dirty-bitmap.js";
import { dirtyCapabilitiesSuite } from "./dirty-capabilities.js";
import { dirtyLogSuite } from "./dirty-log.js";
import { hvaLookupSuite } from "./hva-lookup.js";
import { listPropertiesSuite } from "./list-properties.js";
import { listsSuite } from "./lists.js";
import { lookupsSuite } from "./lookups.js";
import { memslotModificationStressSuite } from "./memslot-modification-stress.js";
import { memslotPerfSuite } from "./memslot-perf.js";
import { privateMemorySuite } from "./private-memory.js";
import { regionErrorsSuite } from "./region-errors.js";
import { sectionsSuite } from "./sections.js";
import { setMemoryRegionSuite } from "./set-memory-region.js";

export function behaviourSuites(name: string, create: Create): void {
  setMemoryRegionSuite(name, create);
  regionErrorsSuite(name, create);
  addressSpacesSuite(name, create);
  lookupsSuite(name, create);
  sectionsSuite(name, create);
  hvaLookupSuite(name, create);
  dirtyLogSuite(name, create);
  dirtyCapabilitiesSuite(name, create);
  dirtyBitmapSuite(name, create);
  listsSuite(name, create);
  listPropertiesSuite(name, create);
  allOrNothingSuite(name, create);
  memslotModificationStressSuite(name, create);
  memslotPerfSuite(name, create);
  privateMemorySuite(name, create);
  badInputSuite(name, create);
}
