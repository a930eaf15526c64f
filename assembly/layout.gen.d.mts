/** The text of src/layout.ts. */
export function generate(): Promise<string>;
