/** Flattened devicetrees for tests. */

/** A flattened devicetree of nodes with properties of 32-bit cells or text. */
export function devicetree(
  nodes: readonly (readonly [string, number] | "end")[],
  strings: string[],
  properties: Record<string, [string, number[] | string][]>,
): Uint8Array {
  const words: number[] = [];
  const text = (value: string) => {
    const bytes = [...new TextEncoder().encode(`${value}\0`)];
    while (bytes.length % 4 !== 0) bytes.push(0);
    for (let i = 0; i < bytes.length; i += 4)
      words.push(((bytes[i]! << 24) | (bytes[i + 1]! << 16) | (bytes[i + 2]! << 8) | bytes[i + 3]!) >>> 0);
  };
  const offsets = new Map<string, number>();
  let length = 0;
  for (const name of strings) {
    offsets.set(name, length);
    length += name.length + 1;
  }
  for (const node of nodes) {
    if (node === "end") {
      words.push(2);
      continue;
    }
    words.push(1);
    text(node[0]);
    for (const [name, value] of properties[node[0]] ?? []) {
      words.push(3, typeof value === "string" ? value.length + 1 : value.length * 4, offsets.get(name)!);
      if (typeof value === "string") text(value);
      else words.push(...value);
    }
  }
  words.push(9);
  const names = new TextEncoder().encode(strings.map((name) => `${name}\0`).join(""));
  const bytes = new Uint8Array(40 + words.length * 4 + names.length);
  const view = new DataView(bytes.buffer);
  [0xd00dfeed, bytes.length, 40, 40 + words.length * 4, 0, 17, 16, 0, names.length, words.length * 4].forEach(
    (word, i) => {
      view.setUint32(i * 4, word);
    },
  );
  words.forEach((word, i) => {
    view.setUint32(40 + i * 4, word);
  });
  bytes.set(names, 40 + words.length * 4);
  return bytes;
}
