// Writes a list of networks: `node make-list.mjs [HOW MANY] > blocklist.txt`. Always the same ones, of
// 240.0.0.0/4, which nobody has: the example blocks no one by accident.
const count = Number(process.argv[2] ?? 100_000);
console.log(`# ${count} networks`);
const lines = [];
for (let index = 0; index < count; index++) {
  // an odd factor visits each of the 2^20 networks once before any comes again
  const network = (index * 2654435761) % 2 ** 20;
  lines.push(`${240 + (network >>> 16)}.${(network >>> 8) & 255}.${network & 255}.0/24`);
}
console.log(lines.join("\n"));
