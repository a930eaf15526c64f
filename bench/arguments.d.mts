import type { Command } from "commander";

export const BENCH_ABOUT: string;
export const GROUP_NAMES: readonly string[];
export function plainCommand(name: string): Command;
export function benchCommand(
  name: string,
  actions?: {
    // biome-ignore lint/suspicious/noExplicitAny: as commander calls them
    [name in "measure" | "compare" | "page"]: (...args: any[]) => unknown;
  },
): Command;
