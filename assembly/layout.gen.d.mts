/** The text of each generated file, by its path from the root. */
export function generate(): Promise<Readonly<Record<string, string>>>;
