/** Bytes as text that `decodeText` reads. */
export function encodeText(bytes: Uint8Array | readonly number[]): string;
/** What turns `from` into `to`, for `applyEdits`. */
export function editsBetween(from: Uint8Array, to: Uint8Array): number[];
