/** Nothing is needed for memslots; the headers let the dev server's pages share memory with their workers. */
export default {
  build: { target: "es2022" },
  server: {
    headers: {
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    },
  },
};
