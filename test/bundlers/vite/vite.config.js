/** Nothing is needed for memslots; the headers let pages share memory with their workers. */
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default {
  server: { headers },
  preview: { headers },
};
