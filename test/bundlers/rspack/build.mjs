/** Nothing is needed for memslots; page.js is loaded as a module, and so it has to be one. */
import { rspack } from "@rspack/core";

const compiler = rspack({
  mode: "production",
  entry: { page: "./page.js" },
  output: { module: true, filename: "[name].js" },
});
compiler.run((error, stats) => {
  if (error) throw error;
  console.log(stats.toString());
  process.exitCode = stats.hasErrors() ? 1 : 0;
});
