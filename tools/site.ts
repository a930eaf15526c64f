/**
 * `npm run site`: site/, for a host that cannot set headers. The documents and the reference, the demo in demo/, the
 * benchmark in bench/, Linux in linux/, whose files the visitor has. A service worker gives these three pages the
 * headers that sharing memory needs. Fails if a link leads nowhere.
 */
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { parseHTML } from "linkedom";
import { Application, TSConfigReader, TypeDocReader } from "typedoc";
import { buildPage } from "../bench/page/serve.js";
import { makePage } from "../examples/riscv-linux/page/serve.js";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const SITE = join(ROOT, "site");
/** Where it is published; links there lead into the site. */
const HOME = "https://memslots.github.io/memslots/";
const SERVICE_WORKER = createRequire(import.meta.url).resolve("coi-serviceworker");
const FIRST_SCRIPT = '<script src="coi-serviceworker.js"></script>';

async function documents(): Promise<void> {
  const app = await Application.bootstrapWithPlugins({ options: `${ROOT}typedoc.json` }, [
    new TypeDocReader(),
    new TSConfigReader(),
  ]);
  const project = await app.convert();
  if (project === undefined) throw new Error("typedoc makes nothing of src/");
  app.validate(project);
  await app.generateOutputs(project);
  if (app.logger.hasErrors() || app.logger.hasWarnings()) throw new Error("typedoc has findings");
}

/** The worker must be in the folder of its page; it is the first script, and loads the page once more. */
function addServiceWorker(folder: string): void {
  cpSync(SERVICE_WORKER, join(folder, "coi-serviceworker.js"));
  const file = join(folder, "index.html");
  const html = readFileSync(file, "utf8");
  writeFileSync(
    file,
    html.replace(/<meta charset="utf-8" ?\/?>/, (first) => `${first}\n${FIRST_SCRIPT}`),
  );
  if (!readFileSync(file, "utf8").includes(FIRST_SCRIPT)) throw new Error(`${file} has no charset`);
}

/** Links of the pages that lead to no file, or to no element of one. */
export function deadLinks(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const pages = new Map(
    files
      .filter((name) => name.endsWith(".html"))
      .map((name) => [name, parseHTML(readFileSync(join(folder, name), "utf8")).document] as const),
  );
  const idsOf = new Map(
    [...pages].map(([name, page]) => [
      name,
      new Set(
        [...page.querySelectorAll("[id], [name]")].flatMap((each) => [each.id, each.getAttribute("name")]),
      ),
    ]),
  );
  return [...pages].flatMap(([name, page]) =>
    [...page.querySelectorAll("[href], [src]")].flatMap((element) => {
      const raw = element.getAttribute("href") ?? element.getAttribute("src") ?? "";
      const link = raw.startsWith(HOME) ? posix.relative(dirname(name), raw.slice(HOME.length) || ".") : raw;
      if (/^[a-z]+:/i.test(link) || link === "") return [];
      const [path = "", anchor = ""] = link.split("#").map(decodeURIComponent);
      const target = path === "" ? name : posix.join(dirname(name), path.replace(/\?.*/, ""));
      const file = existsSync(join(folder, target, "index.html")) ? posix.join(target, "index.html") : target;
      if (!existsSync(join(folder, file))) return [`${name}: ${raw}`];
      const ids = idsOf.get(file);
      return anchor === "" || ids === undefined || ids.has(anchor) ? [] : [`${name}: ${raw}`];
    }),
  );
}

await documents();
cpSync(join(ROOT, "build/visualizer"), join(SITE, "demo"), { recursive: true });
await buildPage(join(SITE, "bench"));
await makePage(join(SITE, "linux/"), false);
for (const page of ["demo", "bench", "linux"]) addServiceWorker(join(SITE, page));
const dead = deadLinks(SITE);
for (const link of dead) console.error(`dead link: ${link}`);
console.log(`site/: ${readdirSync(SITE, { recursive: true }).length} files, ${dead.length} dead links`);
process.exitCode = dead.length === 0 ? 0 : 1;
