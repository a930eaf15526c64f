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
];
