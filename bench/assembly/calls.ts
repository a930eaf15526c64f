/** An emulator's wasm module, compiled separately from the engine: it imports the lookup and calls it wasm to wasm. */
import { gpaToHva } from "./engine";

export function translateAcross(reader: usize, keys: usize, count: u32): f64 {
  const end = keys + (count << 3);
  let sum: f64 = 0;
  for (; keys < end; keys += 8) sum += gpaToHva(reader, load<f64>(keys));
  return sum;
}
