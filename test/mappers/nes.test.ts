/** jsnes with its banks as slots: the same pictures, and what a copy cannot do. */
import { MemslotEngine } from "memslots";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { assemble } from "../../examples/mappers/nes/assembler.js";
import { Banks } from "../../examples/mappers/nes/banks.js";
import { BOARDS, cartridge } from "../../examples/mappers/nes/boards.js";
import { alone, type Console, onSlots, run } from "../../examples/mappers/nes/frames.js";
import { OPCODES } from "../../examples/mappers/nes/opcodes.js";

const FRAMES = 24;

function boardNamed(name: string) {
  return BOARDS.find((board) => board.name === name)!;
}

/** Results of jsnes alone, by board. */
const expected = new Map(BOARDS.map((board) => [board.name, run(alone(cartridge(board)), FRAMES)]));

const boards = suite("boards");

for (const board of BOARDS) {
  boards(`${board.name}: every picture and the final state as jsnes alone`, async () => {
    // The first frames show nothing yet; the others differ from one another.
    assert.ok(new Set(expected.get(board.name)).size > FRAMES / 2, "the program draws too little");
    assert.equal(run(await onSlots(cartridge(board)), FRAMES), expected.get(board.name));
  });
}

/** True if the pictures are others than those of jsnes, or the program has run into something else. */
function differs(broken: Console, name: string): boolean {
  try {
    const right = expected.get(name)!;
    return run(broken, FRAMES).some((value, i) => value !== right[i]);
  } catch (error) {
    return /crashed/.test(String(error));
  }
}

/**
 * Let some switches show the bank before the right one while `work` runs: one of program, whose code and data
 * go into all that follows; each 23rd of patterns, of which only those that are in place when the beam passes
 * are seen.
 */
async function withWrongBanks(method: "showPrg" | "showChr", work: () => Promise<void>): Promise<void> {
  const right = Banks.prototype[method];
  let calls = 0;
  Banks.prototype[method] = function (address, bytes, offset) {
    if (offset >= bytes) calls++;
    const wrong = offset >= bytes && (method === "showPrg" ? calls === 100 : calls % 23 === 0);
    right.call(this, address, bytes, wrong ? offset - bytes : offset);
  };
  try {
    await work();
    assert.ok(calls >= 100, `only ${calls} switches`);
  } finally {
    Banks.prototype[method] = right;
  }
}

for (const [name, method] of [
  ["MMC1", "showPrg"],
  ["MMC1", "showChr"],
  ["UxROM", "showPrg"],
  ["CNROM", "showChr"],
  ["MMC3", "showPrg"],
  ["MMC3", "showChr"],
  ["AxROM", "showPrg"],
  ["GxROM", "showPrg"],
  ["GxROM", "showChr"],
] as const) {
  boards(`${name}: wrong banks are seen (${method})`, async () => {
    await withWrongBanks(method, async () => {
      assert.ok(differs(await onSlots(cartridge(boardNamed(name))), name));
    });
  });
}

boards.run();

const atomicity = suite("one write, one change");

atomicity("GxROM: one write switches program and patterns in one publication", async () => {
  const { nes } = await onSlots(cartridge(boardNamed("GxROM")));
  const { engine } = nes.banks;
  const before = [engine.publications, engine.generation(0), engine.generation(1)];
  nes.banks.inSection(() => nes.mmap!.write(0x8000, 0x21));
  const after = [engine.publications, engine.generation(0), engine.generation(1)];
  assert.equal(
    after.map((value, i) => value - before[i]!),
    [1, 2, 2],
  );
});

atomicity("a bank may be in two windows at once", async () => {
  const { nes } = await onSlots(cartridge(boardNamed("UxROM")));
  nes.banks.inSection(() => {
    nes.mmap!.write(0x8000, 7);
    for (const at of [0, 1, 0x1fff, 0x2000, 0x3fff]) {
      assert.is(nes.mmap!.load(0x8000 + at), nes.mmap!.load(0xc000 + at));
    }
  });
});

atomicity("ROM is READONLY: a write translation is refused, a read is not", async () => {
  const { nes } = await onSlots(cartridge(boardNamed("NROM")));
  assert.is(nes.banks.engine.gpaToHva(0x8000), -2);
  assert.ok(nes.banks.engine.gpaToHvaRead(0x8000) > 0);
});

atomicity("another thread's change is seen from the next section on, never within one", async () => {
  const { nes } = await onSlots(cartridge(boardNamed("UxROM")));
  const other = await MemslotEngine.attach(nes.banks.engine.handle);
  const [window] = other.slots(0);
  const read = () => nes.mmap!.load(0x9234);
  nes.banks.inSection(() => {
    const before = read();
    other.setUserMemoryRegionList([{ ...window!, memorySize: 0 }], { wait: false });
    assert.is(read(), before);
  });
  nes.banks.inSection(() => assert.is(read(), nes.cpu.dataBus, "nothing is mapped there any more"));
  other.setUserMemoryRegion({ ...window!, userspaceAddr: window!.userspaceAddr + 0x4000 });
  nes.banks.inSection(() => assert.is(read(), nes.rom.rom[1]![0x1234]));
});

atomicity.run();

const states = suite("states");

for (const name of ["NROM", "MMC1", "MMC3", "GxROM"]) {
  states(`${name}: a state that was saved goes on as it would have`, async () => {
    const first = await onSlots(cartridge(boardNamed(name)));
    run(first, 20);
    const state = JSON.parse(JSON.stringify(first.nes.toJSON()));
    const wanted = run(first, 20);
    const second = await onSlots(cartridge(boardNamed(name)));
    run(second, 7);
    second.nes.fromJSON(state);
    assert.equal(run(second, 20), wanted);
  });
}

states("a state of jsnes alone has no banks", async () => {
  const plain = alone(cartridge(boardNamed("UxROM")));
  const { nes } = await onSlots(cartridge(boardNamed("UxROM")));
  assert.throws(() => nes.fromJSON(plain.nes.toJSON()), /without slots/);
});

states("the next cartridge may be another board, of no more bytes", async () => {
  const { nes, pictures } = await onSlots(cartridge(boardNamed("AxROM")));
  run({ nes, pictures }, 10);
  const rom = cartridge(boardNamed("MMC3"));
  nes.loadROM(rom);
  assert.equal(run({ nes, pictures }, FRAMES), run(alone(rom), FRAMES));
  const small = await onSlots(cartridge(boardNamed("NROM")));
  assert.throws(() => small.nes.loadROM(rom), /must have \d+ bytes at most/);
});

states("boards that switch banks while they read are refused by name", async () => {
  const rom = cartridge(boardNamed("UxROM"));
  for (const [mapper, reason] of [
    [5, /MMC5 has a load of its own/],
    [9, /MMC2 has a latchAccess of its own/],
  ] as const) {
    const other = rom.slice();
    other[6] = (mapper & 0xf) << 4;
    let error: unknown;
    await onSlots(other).catch((caught) => (error = caught));
    assert.match(String(error), reason);
  }
});

states.run();

const assembler = suite("assembler");

assembler("all documented instructions, each with an opcode of its own", () => {
  assert.is(OPCODES.size, 151);
  assert.is(new Set(OPCODES.values()).size, 151);
});

assembler("every addressing mode, labels before and behind, constants", () => {
  const listing: [source: string, bytes: string][] = [
    ["zero = $12            ; a constant", ""],
    ["here: lda #zero+1", "a9 13"],
    ["sta zero", "85 12"],
    ["stx zero,y", "96 12"],
    ["lda here", "ad 00 c0"],
    ["lda there,x", "bd 1e c0"],
    ["lda $1234,y", "b9 34 12"],
    ["ora (zero,x)", "01 12"],
    ["ora ( zero ),y", "11 12"],
    ["jmp (there)", "6c 1e c0"],
    ["asl", "0a"],
    ["rol zero", "26 12"],
    ["nop", "ea"],
    ["bne here", "d0 e4"],
    ["beq there", "f0 00"],
    ["there: .byte <there, >there, %101, 7", "1e c0 05 07"],
    [".word here, there - 1", "00 c0 1d c0"],
    [".org $c028", "00 00"],
    ["rts", "60"],
  ];
  const bytes = Buffer.from(assemble(listing.map(([source]) => source).join("\n"), 0xc000));
  assert.is(bytes.toString("hex"), listing.map(([, hex]) => hex.replaceAll(" ", "")).join(""));
});

assembler("what it refuses, by line", () => {
  for (const [source, reason] of [
    ["\n lda (1,y)", /line 2: /],
    [" sta #1", /line 1: no such instruction: sta #1/],
    [" jmp nowhere", /line 1: unknown: nowhere/],
    ["a = 1\na = 2", /line 2: a is defined already/],
    [" .byte 256", /line 1: 256 does not fit into 1 bytes/],
    ["a: .org $8100\n bne a", /line 2: a is -258 away/],
    [" .org $7fff", /line 1: .org goes back/],
  ] as const) {
    assert.throws(() => assemble(source, 0x8000), reason);
  }
});

assembler.run();
