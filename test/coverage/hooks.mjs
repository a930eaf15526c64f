/** A hook around the loader of TypeScript: a copy of each module of src/ as it runs, with its source map. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = new URL("../../", import.meta.url).href;
const COPIES = fileURLToPath(new URL("../../build/coverage/js/", import.meta.url));

export async function load(url, context, next) {
  const loaded = await next(url, context);
  const path = url.replace(/\?.*/, "");
  if (path.startsWith(`${ROOT}src/`) && typeof loaded.source === "string") {
    const copy = `${COPIES}${path.slice(ROOT.length)}.js`;
    mkdirSync(dirname(copy), { recursive: true });
    writeFileSync(copy, loaded.source);
  }
  return loaded;
}
