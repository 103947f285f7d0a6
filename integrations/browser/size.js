// npm run size: how much a page loads, and whether it is still little enough.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const [, , path, limit] = process.argv;
const size = gzipSync(readFileSync(path), { level: 9 }).length;
console.log(`${path}: ${size} bytes gzipped, ${limit} allowed`);
process.exit(size <= Number(limit) ? 0 : 1);
