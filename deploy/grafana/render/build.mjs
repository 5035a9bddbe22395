// Bundles picture.jsx into the folder that is named: node build.mjs <folder>
import { build } from "esbuild";

await build({
  entryPoints: ["picture.jsx"],
  bundle: true,
  minify: true,
  outdir: process.argv[2],
  define: { "process.env.NODE_ENV": '"production"', global: "globalThis" },
  loader: { ".svg": "text", ".png": "dataurl", ".ttf": "empty", ".woff": "empty", ".woff2": "empty" },
  jsx: "automatic",
  logLevel: "error",
});
