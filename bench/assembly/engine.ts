/** The engine as an import; the file's name is the name of the imported module. */
export declare function gpaToHva(reader: usize, gpa: f64): f64;
