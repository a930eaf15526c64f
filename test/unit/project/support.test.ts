/** The helpers that the other tests lean on, each shown to fail where it must. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { KvmError } from "../../../src/kvm/errno.js";
import { branchesOf } from "../../coverage/branches.js";
import { bitmapOf, dirtyPages } from "../../support/bitmap.js";
import { firstDifference } from "../../support/difference.js";
import { errnoOf, throwsErrno, throwsTypeError } from "../../support/implementation.js";
import { random } from "../../support/random.js";

const test = suite("support");

/** Not assert.throws: uvu lets failed assertions through that one. */
function fails(call: () => unknown): void {
  let thrown: unknown;
  try {
    call();
  } catch (error) {
    thrown = error;
  }
  assert.ok(thrown !== undefined, "the helper has let it pass");
}

function refuse(errno: number, index?: number): () => never {
  return () => {
    throw new KvmError(errno, "test", index === undefined ? {} : { index });
  };
}

test("throwsErrno accepts one errno, at one entry", () => {
  throwsErrno(refuse(-22), "EINVAL");
  throwsErrno(refuse(-17, 3), "EEXIST", 3);
  fails(() => throwsErrno(() => {}, "EINVAL"));
  fails(() => throwsErrno(refuse(-17), "EINVAL"));
  fails(() => throwsErrno(refuse(-17, 3), "EEXIST", 2));
  fails(() => throwsErrno(refuse(-17, 3), "EEXIST"));
  fails(() => throwsErrno(refuse(-17), "EEXIST", 0));
  fails(() =>
    throwsErrno(() => {
      throw new Error("EINVAL");
    }, "EINVAL"),
  );
});

test("throwsTypeError demands the field in the message", () => {
  const complain = () => {
    throw new TypeError("slot must be a number");
  };
  throwsTypeError(complain, "slot");
  fails(() => throwsTypeError(complain, "flags"));
  fails(() => throwsTypeError(() => {}, "slot"));
  fails(() => throwsTypeError(refuse(-22), "slot"));
});

test("errnoOf rethrows an error that is no refusal", () => {
  assert.is(
    errnoOf(() => {}),
    0,
  );
  assert.is(errnoOf(refuse(-22)), -22);
  fails(() => errnoOf(() => JSON.parse("")));
});

test("firstDifference finds changed, missing and extra values", () => {
  assert.is(firstDifference({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }), undefined);
  assert.match(firstDifference({ a: [1, { b: 2 }] }, { a: [1, { b: 3 }] })!, ".a.1.b: got 2, expected 3");
  assert.ok(firstDifference([1, 2], [1]));
  assert.ok(firstDifference([1], [1, 2]));
  assert.ok(firstDifference({}, undefined));
  assert.ok(firstDifference(0, undefined));
});

test("bitmaps and page indexes convert into each other", () => {
  assert.is(bitmapOf([], 0).byteLength, 0);
  assert.is(bitmapOf([], 65).byteLength, 16);
  assert.equal([...bitmapOf([0, 9, 63], 64)], [1, 2, 0, 0, 0, 0, 0, 128]);
  assert.equal(dirtyPages(bitmapOf([0, 9, 63, 64, 129], 130)), [0, 9, 63, 64, 129]);
});

test("a seed gives the same numbers again, within their bounds", () => {
  const draw = () => {
    const source = random(42);
    return Array.from({ length: 100 }, () => source.int(10));
  };
  assert.equal(draw(), draw());
  assert.ok(draw().every((n) => n >= 0 && n < 10));
  assert.is(new Set(draw()).size, 10);
  assert.not.equal(random(1).next(), random(2).next());
});

test("a branch whose places differ by blanks and parentheses is one, and two that begin together are two", () => {
  const source = "if (x) return (a && b) || c;\nelse if (y) stop();\n";
  const at = (line: number, column: number) => ({ start: { line, column } });
  const of = (type: string, ...locations: { start: { line: number; column: number } }[]) => ({
    type,
    locations,
  });
  const and = "LogicalExpression";
  const branchMap = {
    // From source.
    0: of("IfStatement", at(1, 7), at(2, 5)),
    1: of(and, at(1, 14), at(1, 26)),
    2: of(and, at(1, 15), at(1, 20)),
    3: of("IfStatement", at(2, 12), at(2, 5)),
    // From dist/.
    4: of("IfStatement", at(1, 6), at(2, 4)),
    5: of(and, at(1, 7), at(1, 25)),
    6: of(and, at(1, 14), at(1, 19)),
  };
  const b = { 0: [1, 0], 1: [1, 0], 2: [1, 0], 3: [0, 0], 4: [0, 2], 5: [3, 0], 6: [3, 3] };
  assert.equal(branchesOf({ branchMap, b }, source), [
    { line: 1, type: "IfStatement", counts: [1, 2] },
    { line: 1, type: and, counts: [4, 0] },
    { line: 1, type: and, counts: [4, 3] },
    { line: 2, type: "IfStatement", counts: [0, 0] },
  ]);
  const other = {
    branchMap: { 0: of(and, at(1, 26)), 1: of(and, at(1, 7), at(1, 26)) },
    b: { 0: [1], 1: [1, 1] },
  };
  fails(() => branchesOf(other, source));
});

test.run();
