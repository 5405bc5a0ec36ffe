/** `work` with at most `limit` calls running; the others wait in their order. */
export function limited<A extends unknown[], R>(
  limit: number,
  work: (...args: A) => Promise<R>,
): (...args: A) => Promise<R> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (...args) => {
    if (running >= limit) await new Promise<void>((resume) => waiting.push(resume));
    else running++;
    try {
      return await work(...args);
    } finally {
      // the place passes on to the next in line, so `running` stays as it is
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}
