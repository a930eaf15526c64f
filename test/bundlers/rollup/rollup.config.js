/** The worker is an entry of its own: Rollup leaves `new URL("./vcpu.js", import.meta.url)` as it stands. */
import { nodeResolve } from "@rollup/plugin-node-resolve";

export default {
  input: { page: "page.js", vcpu: "vcpu.js" },
  output: { dir: "dist", format: "es" },
  plugins: [nodeResolve({ browser: true })],
};
