/** The core as a file: the dev server must leave the package as it is, or the file is not beside it. */
export default {
  build: { target: "es2022" },
  optimizeDeps: { exclude: ["memslots"] },
  resolve: { alias: [{ find: /^memslots$/, replacement: "memslots/url" }] },
  server: {
    headers: {
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    },
  },
};
