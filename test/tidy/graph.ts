/** Prints the import graph of src/ by rooms, types included, and fails on an upward import or a circle. */
import { fileURLToPath } from "node:url";
import { noCycles } from "./project.js";
import { roomGraph, rooms } from "./rooms.js";
import { readProject } from "./source.js";

const project = readProject(fileURLToPath(new URL("../../", import.meta.url)));
const circles = noCycles(project).filter(({ path }) => path.startsWith("src/"));
const upwards = rooms(project);
for (const line of roomGraph(project)) console.log(line);
for (const { path, line, message } of [...circles, ...upwards]) console.log(`${path}:${line}: ${message}`);
console.log(`src/: ${circles.length} circles, ${upwards.length} upward imports`);
process.exitCode = circles.length + upwards.length > 0 ? 1 : 0;
