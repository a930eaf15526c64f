/** Makes dist/memslots.1, the manual page, of the texts of --help. SOURCE_DATE_EPOCH, in seconds, is its date. */
import { readFileSync, writeFileSync } from "node:fs";
import { MemslotEngine } from "memslots";
import { manPage } from "../src/cli/manpage.js";
import { createProgram } from "../src/cli/program.js";

const file = (name: string) => new URL(`../${name}`, import.meta.url);

const { version } = JSON.parse(readFileSync(file("package.json"), "utf8"));
const { SOURCE_DATE_EPOCH: seconds } = process.env;
const date = seconds === undefined ? new Date() : new Date(Number(seconds) * 1000);
const program = createProgram({
  version,
  engineClass: MemslotEngine,
  vcpuWorker: file("dist/vcpuworker.js"),
});
writeFileSync(file("dist/memslots.1"), manPage(program, version, date.toISOString().slice(0, 10)));
