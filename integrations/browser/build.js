// npm run build: dist/ from src/; fails where the core or the component has grown too large.
import { mkdirSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";
import { minify } from "terser";

const LIMITS = { ragwheel: 5_120, feedback: 4_096 }; // bytes, minified and gzipped; ragwheel.js is the core
const PARTS = ["actions", "boxes", "copies", "debug", "stored"]; // what the core loads when a page needs it
const MODULES = ["ragwheel", "auto", "feedback", "overlay", ...PARTS];
// Names of the core's own state, which nobody outside of it reads
const OWN = /^(viewMs|reportedAt|presumedAt|goneTimer|reportTimer|goneAt|inView|since|impressed|presume|reportAll|refresh)$/;

/** Bundle and minify one module; returns its size, gzipped. */
async function make(name, format, file, external = []) {
  const { outputFiles: [{ text }] } = await build({
    entryPoints: [`src/${name}.js`], bundle: true, write: false, target: "es2022", logLevel: "error",
    format, external, globalName: format === "iife" ? "ragwheel" : undefined,
  });
  const compress = { passes: 3, unsafe_arrows: true, pure_getters: true };
  const mangle = { properties: { regex: OWN } };
  const { code } = await minify(text, { module: format === "esm", toplevel: format !== "iife", ecma: 2020, compress, mangle });
  writeFileSync(file, code);
  return gzipSync(code, { level: 9 }).length;
}

mkdirSync("dist/min", { recursive: true });
const sizes = {};
for (const name of MODULES) {
  // Modules that stay files of their own; what only one of them uses goes into it
  const others = MODULES.filter((other) => other !== name).map((other) => `./${other}.js`);
  sizes[name] = await make(name, "esm", `dist/min/${name}.js`, others);
}
await make("ragwheel", "cjs", "dist/ragwheel.cjs");
await make("react", "cjs", "dist/react.cjs", ["react"]);
await make("ragwheel", "iife", "dist/ragwheel.iife.js");

for (const [name, size] of Object.entries(sizes)) {
  const limit = LIMITS[name];
  console.log(`${name}.js: ${size} bytes gzipped${limit ? `, ${limit} allowed` : ""}`);
  if (size > limit) process.exitCode = 1;
}
