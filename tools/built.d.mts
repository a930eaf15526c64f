export function hashOf(root: string, paths: readonly string[]): string;
export function sourcesOf(root: string): string;
export function isBuilt(root: string): boolean;
export function noteBuilt(root: string, sources: string): void;
