/** The price of stack traces that nobody reads. */

/**
 * Until the returned function is called, the text of a stack trace is empty. Pulumi's SDK asks for one at each of the
 * dozens of promises of a resource, to show it under PULUMI_DEBUG_PROMISE_LEAKS alone, and maps it back to TypeScript:
 * a third of a large program's time. Nothing that is shown gets lost: V8 writes an error's text when it is first read,
 * by the function of that moment, and for a resource's source position the SDK raises `stackTraceLimit`.
 */
export function omitStackTexts(): () => void {
  const { prepareStackTrace, stackTraceLimit } = Error;
  const wanted = process.env["PULUMI_DEBUG_PROMISE_LEAKS"] !== undefined || stackTraceLimit === Infinity;
  if (wanted) return () => undefined;
  Error.prepareStackTrace = (error, frames) => {
    if (Error.stackTraceLimit === stackTraceLimit) return "";
    if (prepareStackTrace !== undefined) return prepareStackTrace(error, frames) as unknown;
    return [String(error), ...frames.map(String)].join("\n    at "); // as V8 does by itself
  };
  return () => {
    Error.prepareStackTrace = prepareStackTrace;
  };
}
