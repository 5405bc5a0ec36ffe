/** The name that was probably meant. */

/** Undefined when none of the names is near. */
export function closest(word: string, names: readonly string[]): string | undefined {
  const limit = word.length < 4 ? 1 : Math.max(2, Math.floor(word.length / 3));
  return names
    .map((name) => ({ name, distance: editDistance(word.toLowerCase(), name.toLowerCase()) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance)[0]?.name;
}

/** `it has maps: blocked, flows; did you mean "flows"?` */
export function available(what: string, word: string, names: readonly string[]): string {
  if (names.length === 0) return `it has no ${what}`;
  const near = closest(word, names);
  const question = near === undefined ? "" : `; did you mean "${near}"?`;
  return `it has ${what}: ${[...names].sort().join(", ")}${question}`;
}

/** Levenshtein's. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(previous[j]! + 1, current[j - 1]! + 1, substitution));
    }
    previous = current;
  }
  return previous[b.length]!;
}
