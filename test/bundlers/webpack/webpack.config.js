/** Nothing is needed for memslots; page.js is loaded as a module, and so it has to be one. */
export default {
  mode: "production",
  entry: { page: "./page.js" },
  experiments: { outputModule: true },
  output: { module: true, filename: "[name].js" },
};
