/** The module `bytes` for memory that is not shared. @throws Error for an instruction that is not known */
export function unshare(bytes: Uint8Array): Uint8Array<ArrayBuffer>;
