/**
 * Writes the layout hash into a build of the core, as a custom section that no runtime looks at: JavaScript of another
 * version, which would call functions that are not there, is told so when it loads the module.
 *
 *   node assembly/stamp.mjs FILE
 */
import { readFileSync, writeFileSync } from "node:fs";

/** As in src/core/stamp.ts. */
const NAME = "memslots";
/** Magic number and version of the format. */
const HEAD_BYTES = 8;
const HASH = /LAYOUT_HASH = (0x[0-9a-f]{8});/;

const file = process.argv[2];
const hash = Number(HASH.exec(readFileSync(new URL("../src/core/constants.ts", import.meta.url), "utf8"))[1]);
const payload = Buffer.alloc(1 + NAME.length + 4);
payload[0] = NAME.length;
payload.write(NAME, 1, "latin1");
payload.writeUInt32LE(hash, 1 + NAME.length);
const module = readFileSync(file);
writeFileSync(
  file,
  Buffer.concat([
    module.subarray(0, HEAD_BYTES),
    Buffer.from([0, payload.length]),
    payload,
    module.subarray(HEAD_BYTES),
  ]),
);
