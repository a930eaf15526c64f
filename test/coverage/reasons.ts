/** Lines of src/ that no test reaches, each with its reason. */
export const REASONS: readonly {
  readonly file: string;
  /** What stands in these lines. */
  readonly lines: readonly string[];
  readonly why: string;
}[] = [
  ...["src/map/kvmlog.ts", "src/map/mtreedump.ts", "src/map/physical.ts", "src/cli/input.ts"].map((file) => ({
    file,
    lines: ["throw error;", "return error;"],
    why: "a defect of the program itself, which nobody is to hide",
  })),
  {
    file: "src/replay/vcpuworker.ts",
    lines: ["before the commit and", "translates to"],
    why: "the engine itself would have to answer wrongly",
  },
  {
    file: "src/replay/gaps.ts",
    lines: ["disagree in", "at its first page"],
    why: "the engine itself would have to contradict itself",
  },
  {
    file: "src/guest/access.ts",
    lines: ["a piece at"],
    why: "the core itself would have to answer wrongly: no damage of one word is known that it does not notice",
  },
  {
    file: "src/core/attached.ts",
    lines: ["free(table, place)", "checkMine(table, twin, me)"],
    why: "two threads would have to join with one token at the same moment",
  },
  {
    file: "src/runtime/liveness.ts",
    lines: ["return 0;"],
    why: "only where /proc cannot be read",
  },
  {
    file: "src/write/writer.ts",
    lines: ["awaitHeld(thread, request.op, thread.wasm, wait);", "stage(thread, request, options);"],
    why: "a vCPU would have to meet the closed gate in the instant of the commit",
  },
  {
    file: "src/write/refusal.ts",
    lines: ["CHECK_SHIFT === check.CHECK_GATE"],
    why: "a vCPU would have to meet the closed gate in the instant of the commit",
  },
  {
    file: "src/write/refusal.ts",
    lines: ["return undefined;"],
    why: "every check that the core can name has its case",
  },
  {
    file: "src/runtime/death.ts",
    lines: [
      "return `memslots-",
      "taken.get(",
      "taken.set(",
      "await lock;",
      "const manager = locks()",
      "BroadcastChannel(name)",
      "channel.",
      "manager.request(",
      "function hold(",
      "return new Promise",
      "const forever",
      "resolve();",
      "locks().request(",
      "return manager;",
    ],
    why: "only in a page, where test/browser runs it and V8 does not tell",
  },
];
