/** The file that record.ts writes. */
export interface IsaVectors {
  /** Name and version of what ran the program. */
  readonly oracle: string;
  /** Guest addresses: of the image, of its first instruction, of what it writes. */
  readonly base: number;
  readonly entry: number;
  readonly results: number;
  /** The program, base64. */
  readonly image: string;
  /** By stub, a sum for each rounding mode: 64 bits, hexadecimal. */
  readonly stubs: readonly { readonly name: string; readonly sums: readonly string[] }[];
}
