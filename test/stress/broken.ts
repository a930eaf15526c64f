/**
 * A core without a grace period, for the check of the checker: replaced layouts are recycled at once, whoever
 * reads them. The product has no such switch, so the core is compiled from sources of which one line is
 * another.
 */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = new URL("../../", import.meta.url);
const COMPILER = fileURLToPath(new URL("node_modules/assemblyscript/bin/asc.js", ROOT));
/** Stays where it is: it imports the compiler, which is found from there. */
const TRANSFORM = fileURLToPath(new URL("assembly/noinline.mjs", ROOT));
const FILE = "assembly/publish.ts";
const LINE = "if (readerOf(header, root) != 0) return false;";

/** The core for shared memory, `reclaim` of which looks at no pin. */
export async function breakGrace(): Promise<WebAssembly.Module> {
  const directory = await mkdtemp(join(tmpdir(), "memslots-broken-"));
  try {
    for (const name of ["assembly", "asconfig.json"]) {
      await cp(new URL(name, ROOT), join(directory, name), { recursive: true });
    }
    const text = await readFile(join(directory, FILE), "utf8");
    if (!text.includes(LINE)) throw new Error(`${FILE} has no line "${LINE}" to take out`);
    await writeFile(join(directory, FILE), text.replace(LINE, ""));
    // A process of its own: the compiler takes long to load where TypeScript is being translated.
    await promisify(execFile)(process.execPath, [COMPILER, "--target", "shared", "--transform", TRANSFORM], {
      cwd: directory,
    });
    return await WebAssembly.compile(await readFile(join(directory, "build/engine.wasm")));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
