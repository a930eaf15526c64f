/** Warnings of typedoc about the public symbols of some entries, under the options in a file. */
import { fileURLToPath } from "node:url";
import { Application, Logger, type LogLevel, TSConfigReader, TypeDocReader } from "typedoc";

class Collector extends Logger {
  readonly messages: string[] = [];
  override log(message: string, level: LogLevel): void {
    if (level > 1) this.messages.push(message.trim());
  }
}

const root = fileURLToPath(new URL("../../", import.meta.url));

export interface Reference {
  /** Findings: symbols without a word, types that no entry exports, links that lead nowhere. */
  readonly findings: readonly string[];
  /** Public symbols of all entries, members included. */
  readonly symbols: number;
}

function entryPointsOf(entries: readonly string[] | undefined): { entryPoints?: string[] } {
  return entries === undefined ? {} : { entryPoints: entries.map((path) => root + path) };
}

/**
 * @param options path of the options, from the root of the project
 * @param entries paths of the entries, those of the options if not given
 */
export async function checkReference(options: string, entries?: readonly string[]): Promise<Reference> {
  // Types are checked by `npm run types`.
  const overrides = { options: root + options, skipErrorChecking: true, ...entryPointsOf(entries) };
  const app = await Application.bootstrap(overrides, [new TypeDocReader(), new TSConfigReader()]);
  const collector = new Collector();
  app.logger = collector;
  const project = await app.convert();
  if (project === undefined) throw new Error(collector.messages.join("\n"));
  app.validate(project);
  return { findings: collector.messages, symbols: Object.keys(project.reflections).length };
}
