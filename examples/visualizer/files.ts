/** Files of the user, or of this page's server, as timelines. */
import type { MemoryMap } from "../../src/map/memorymap.js";
import { mapOf, parseSource, type Source } from "../../src/map/source.js";
import { type Timeline, timelineOfMaps, timelineOfTrace } from "./timeline.js";

/** First byte of a gzip member. */
const GZIP_MAGIC = 0x1f;

/** The text of a file, gzipped or not. @throws Error if it is not text */
async function textOf(blob: Blob): Promise<string> {
  const [first] = new Uint8Array(await blob.slice(0, 1).arrayBuffer());
  const stream = blob.stream();
  const plain = first === GZIP_MAGIC ? stream.pipeThrough(new DecompressionStream("gzip")) : stream;
  return new TextDecoder("utf-8", { fatal: true }).decode(await new Response(plain).arrayBuffer());
}

/** The `note` in the header of a trace, which describes the recording. */
function noteOf(text: string): string {
  const header = JSON.parse(text.slice(0, text.indexOf("\n"))) as { note?: string; args?: string };
  return [header.note, header.args].filter((part) => part !== undefined).join(". QEMU ");
}

async function sourceOf(name: string, blob: Blob): Promise<{ source: Source; text: string }> {
  let text: string;
  try {
    text = await textOf(blob);
  } catch (error) {
    throw new Error(`${name} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  return { source: parseSource(name, text), text };
}

/** One trace, or dumps in the order of their names. @throws Error naming file and line */
export async function timelineOfFiles(files: readonly { name: string; blob: Blob }[]): Promise<Timeline> {
  const sorted = [...files].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  const maps: MemoryMap[] = [];
  for (const { name, blob } of sorted) {
    const { source, text } = await sourceOf(name, blob);
    if (source.kind === "trace") {
      if (source.trace.commits.length === 0)
        throw new Error(`${name} has no KVM updates: there is nothing to play`);
      return timelineOfTrace(source.trace, noteOf(text));
    }
    maps.push(mapOf(name, source, undefined));
  }
  return timelineOfMaps(maps);
}
