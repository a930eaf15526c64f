/**
 * The 151 documented instructions of the 6502, by mnemonic and addressing mode. Source: MCS6500 Family
 * Programming Manual, appendix B.
 */

export type Mode =
  | "imm"
  | "zp"
  | "zpx"
  | "zpy"
  | "abs"
  | "absx"
  | "absy"
  | "indx"
  | "indy"
  | "ind"
  | "acc"
  | "imp"
  | "rel";

/** Bytes of an instruction. */
export const BYTES: Readonly<Record<Mode, number>> = {
  imm: 2,
  zp: 2,
  zpx: 2,
  zpy: 2,
  abs: 3,
  absx: 3,
  absy: 3,
  indx: 2,
  indy: 2,
  ind: 3,
  acc: 1,
  imp: 1,
  rel: 2,
};

const TABLE = `
    imm zp zpx zpy abs absx absy indx indy ind acc
adc 69  65 75  -   6d  7d   79   61   71   -   -
and 29  25 35  -   2d  3d   39   21   31   -   -
asl -   06 16  -   0e  1e   -    -    -    -   0a
bit -   24 -   -   2c  -    -    -    -    -   -
cmp c9  c5 d5  -   cd  dd   d9   c1   d1   -   -
cpx e0  e4 -   -   ec  -    -    -    -    -   -
cpy c0  c4 -   -   cc  -    -    -    -    -   -
dec -   c6 d6  -   ce  de   -    -    -    -   -
eor 49  45 55  -   4d  5d   59   41   51   -   -
inc -   e6 f6  -   ee  fe   -    -    -    -   -
jmp -   -  -   -   4c  -    -    -    -    6c  -
jsr -   -  -   -   20  -    -    -    -    -   -
lda a9  a5 b5  -   ad  bd   b9   a1   b1   -   -
ldx a2  a6 -   b6  ae  -    be   -    -    -   -
ldy a0  a4 b4  -   ac  bc   -    -    -    -   -
lsr -   46 56  -   4e  5e   -    -    -    -   4a
ora 09  05 15  -   0d  1d   19   01   11   -   -
rol -   26 36  -   2e  3e   -    -    -    -   2a
ror -   66 76  -   6e  7e   -    -    -    -   6a
sbc e9  e5 f5  -   ed  fd   f9   e1   f1   -   -
sta -   85 95  -   8d  9d   99   81   91   -   -
stx -   86 -   96  8e  -    -    -    -    -   -
sty -   84 94  -   8c  -    -    -    -    -   -`;

const BRANCHES = "bcc 90 bcs b0 beq f0 bmi 30 bne d0 bpl 10 bvc 50 bvs 70";

const IMPLIED = `
brk 00 clc 18 cld d8 cli 58 clv b8 dex ca dey 88 inx e8 iny c8 nop ea pha 48 php 08 pla 68 plp 28 rti 40
rts 60 sec 38 sed f8 sei 78 tax aa tay a8 tsx ba txa 8a txs 9a tya 98`;

/** Opcode by "mnemonic mode". */
export const OPCODES: ReadonlyMap<string, number> = new Map([
  ...columns(TABLE),
  ...pairs(BRANCHES, "rel"),
  ...pairs(IMPLIED, "imp"),
]);

function columns(table: string): [string, number][] {
  const [head, ...lines] = table.trim().split("\n");
  const modes = head!.trim().split(/\s+/);
  return lines.flatMap((line) => {
    const [mnemonic, ...codes] = line.split(/\s+/);
    return codes.flatMap((code, i): [string, number][] =>
      code === "-" ? [] : [[`${mnemonic} ${modes[i]}`, Number.parseInt(code, 16)]],
    );
  });
}

function pairs(list: string, mode: Mode): [string, number][] {
  return [...list.matchAll(/(\w{3}) (\w\w)/g)].map(([, mnemonic, code]) => [
    `${mnemonic} ${mode}`,
    Number.parseInt(code!, 16),
  ]);
}
