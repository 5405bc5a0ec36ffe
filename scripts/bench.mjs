// Set-up, then the bench. Its table goes to the terminal, its figures to bench/latest.json.
//   node scripts/bench.mjs [ROW…] [--repeat N]
import { runAfterSetUp } from "./run.mjs";

await runAfterSetUp("bench", "test/bench/main.ts", process.argv.slice(2));
