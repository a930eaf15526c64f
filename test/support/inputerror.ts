/**
 * Assertions of input errors: the error must name file, line and reason. uvu's `throws` with a string accepts any
 * error.
 */
import * as assert from "uvu/assert";
import { InputError } from "../../src/trace/jsonl.js";

export async function throwsInputError(
  read: () => Promise<unknown>,
  file: string,
  line: number | undefined,
  reason: RegExp,
): Promise<void> {
  let error: unknown;
  try {
    await read();
  } catch (thrown) {
    error = thrown;
  }
  assert.instance(error, InputError);
  const { file: where, line: at, reason: why, message } = error as InputError;
  assert.is(where, file);
  assert.is(at, line, message);
  assert.match(why, reason);
  assert.is(message, line === undefined ? `${file}: ${why}` : `${file}:${line}: ${why}`);
}
