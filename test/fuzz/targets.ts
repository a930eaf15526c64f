/** What is fuzzed, by name. */
import type fc from "fast-check";
import { api } from "./api.js";
import { commandLine } from "./commandline.js";
import { placement } from "./placement.js";
import { devicetrees, readers } from "./readers.js";

export const TARGETS: Readonly<Record<string, fc.IRawProperty<unknown>>> = {
  readers,
  "command-line": commandLine,
  api,
  placement,
  devicetrees,
} as Record<string, fc.IRawProperty<unknown>>;
