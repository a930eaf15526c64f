/** The core as a file whose address options.js has: the dev server may do with the package what it likes. */
export default {
  build: { target: "es2022" },
  resolve: { alias: [{ find: /^memslots$/, replacement: "memslots/url" }] },
  server: {
    headers: {
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    },
  },
};
