/**
 * Cores with a part missing, for the checks of the checkers. The product has no such switch, so the core is
 * compiled from sources of which one line is another.
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

/** A line of the core, and what stands there instead. */
interface Break {
  readonly file: string;
  readonly line: string;
  readonly instead: string;
}

/** Replaced layouts are recycled at once, whoever reads them. */
const GRACE: Break = {
  file: "assembly/publish.ts",
  line: "if (readerOf(header, root) != 0) return false;",
  instead: "",
};
/** Dirty bits end with their bitmap. */
const CARRY: Break = {
  file: "assembly/carry.ts",
  line: "if (target.bitmap != 0 && headOf(target.bitmap).birth == commit) {",
  instead: "if (target.bitmap == 1) {",
};

/** Consumers are not told what readers set in a log that ends. */
const FOLD: Break = {
  file: "assembly/carry.ts",
  line: "  foldLog(header, record);",
  instead: "",
};

/** Of some pages it is not told that they were written. */
const MARK: Break = {
  file: "assembly/dirtyring.ts",
  line: "if (line.ring != 0) markThroughRing(line, slot, offset);",
  instead: "if (offset % 1021 == 0) return; if (line.ring != 0) markThroughRing(line, slot, offset);",
};

/** Pages that were marked ahead of their writes are not marked again when the marks were taken. */
const SETTLE: Break = {
  file: "assembly/tlb.ts",
  line: "if (root != 0) markGpa(reader, root, entry.write);",
  instead: "",
};

/** The core for shared memory, `reclaim` of which looks at no pin. */
export function breakGrace(): Promise<WebAssembly.Module> {
  return compileBroken(GRACE);
}

/** The core for shared memory, whose lists carry no dirty bit. */
export function breakCarry(): Promise<WebAssembly.Module> {
  return compileBroken(CARRY);
}

/** The core for shared memory, whose lists fold no log into the consumers. */
export function breakFold(): Promise<WebAssembly.Module> {
  return compileBroken(FOLD);
}

/** The core for shared memory, which marks one page in 1021 never. */
export function breakMark(): Promise<WebAssembly.Module> {
  return compileBroken(MARK);
}

/** The core for shared memory, whose TLBs trust a mark for ever. */
export function breakSettle(): Promise<WebAssembly.Module> {
  return compileBroken(SETTLE);
}

async function compileBroken({ file, line, instead }: Break): Promise<WebAssembly.Module> {
  const directory = await mkdtemp(join(tmpdir(), "memslots-broken-"));
  try {
    for (const name of ["assembly", "asconfig.json"]) {
      await cp(new URL(name, ROOT), join(directory, name), { recursive: true });
    }
    const text = await readFile(join(directory, file), "utf8");
    if (!text.includes(line)) throw new Error(`${file} has no line "${line}" to take out`);
    await writeFile(join(directory, file), text.replace(line, instead));
    // A process of its own: the compiler takes long to load where TypeScript is being translated.
    await promisify(execFile)(process.execPath, [COMPILER, "--target", "shared", "--transform", TRANSFORM], {
      cwd: directory,
    });
    return await WebAssembly.compile(await readFile(join(directory, "build/engine.wasm")));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
