// Writes the tables of properties in README.md anew: npm run docs
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { withTables } from "../provider/schema/tables";

const readme = resolve(__dirname, "../README.md");
writeFileSync(readme, withTables(readFileSync(readme, "utf8")));
