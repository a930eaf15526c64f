/** Options of the engine of page.js; a project may have others. */
export const OPTIONS = {};
