// Writes what is made of the schemas anew: schema.json and the tables of properties in README.md. npm run docs
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { packageSchema } from "../provider/schema/package";
import { withTables } from "../provider/schema/tables";
import manifest from "../package.json";

const root = resolve(__dirname, "..");
const readme = resolve(root, "README.md");
writeFileSync(readme, withTables(readFileSync(readme, "utf8")));
writeFileSync(resolve(root, "schema.json"), `${JSON.stringify(packageSchema(manifest), null, 2)}\n`);
