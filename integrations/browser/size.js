// npm run size: how much a page loads, and whether it is still little enough.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT = 4096;
const size = gzipSync(readFileSync(process.argv[2]), { level: 9 }).length;
console.log(`${process.argv[2]}: ${size} bytes gzipped, ${LIMIT} allowed`);
process.exit(size <= LIMIT ? 0 : 1);
