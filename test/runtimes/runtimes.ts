/** The runtimes of tools/runtimes, which npm installs: where the program is, and how it runs a module. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MODULES = fileURLToPath(new URL("../../tools/runtimes/node_modules/", import.meta.url));

export interface Runtime {
  readonly name: string;
  /** Path of the program; undefined if no package for this machine is installed. */
  readonly program: string | undefined;
  readonly args: readonly string[];
}

/** `path` in the package for this machine: a scope has those that npm found fit. */
function inPlatformPackage(scope: string, path: string): string[] {
  const folder = join(MODULES, scope);
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name, path)) : [];
}

/** Bun's own install script moves the program from the package for the machine into its own; not everybody runs it. */
export const RUNTIMES: readonly Runtime[] = [
  {
    name: "Bun",
    program: [...inPlatformPackage("@oven", "bin/bun"), join(MODULES, "bun/bin/bun.exe")].find(existsSync),
    args: [],
  },
  {
    name: "Deno",
    program: inPlatformPackage("@deno", "deno").find(existsSync),
    args: ["run", "--allow-all", "--quiet", "--sloppy-imports"],
  },
];

/** Major versions of Node; the first is the least that package.json allows. */
const NODES = [20, 22, 24, 26];

/** Node in these versions; npm has them for Linux on x64 only, elsewhere the list is empty. */
export const NODE_VERSIONS: readonly Runtime[] = NODES.map((version) => ({
  name: `Node ${version}`,
  program: join(MODULES, `node-${version}`, "bin/node"),
  args: [],
})).filter(({ program }) => existsSync(program));
