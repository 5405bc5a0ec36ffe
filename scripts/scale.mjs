// Set-up, then what hosts cost the machine that runs Pulumi, as docs/scale.md has it.
//   node scripts/scale.mjs [1x5] [1x20] [4x5]
import { runAfterSetUp } from "./run.mjs";

await runAfterSetUp("scale", "test/scale/main.ts", process.argv.slice(2), { databases: true });
