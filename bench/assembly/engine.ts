/**
 * The engine as an import: the file's name is the import's module name.
 */
export declare function gpaToHva(reader: usize, gpa: f64): f64;
