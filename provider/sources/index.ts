/**
 * Local files of the operator, opened and checked: ELF objects, rows of map entries, networks.
 *
 * Owns all file access of the operator's side besides transport, clang, and its cache.
 * Does not own the meaning of an object (provider/btf) or of a resource's inputs (provider/resources).
 */
import { EbpfError, invalid, type Problem } from "../errors";
import { openEntries } from "./entries";
import { openLines, openNetworks } from "./lines";
import { openObject } from "./object";
import type { OpenSources, Source, SourceRequest } from "./source";

function open(request: SourceRequest): Promise<Source> {
  switch (request.kind) {
    case "object":
      return openObject(request);
    case "entries":
      return openEntries(request);
    case "lines":
      return openLines(request);
    case "networks":
      return openNetworks(request);
  }
}

/**
 * Opens all requests at once and answers in their order.
 * Fails with one `invalid` error that holds every problem of every request.
 */
export const openSources: OpenSources = async (requests) => {
  const outcomes = await Promise.allSettled(requests.map(open));
  const sources: Source[] = [];
  const problems: Problem[] = [];
  for (const outcome of outcomes) {
    if (outcome.status === "fulfilled") {
      sources.push(outcome.value);
    } else if (EbpfError.is(outcome.reason, "invalid")) {
      problems.push(...(outcome.reason.context.problems ?? []));
    } else {
      throw outcome.reason;
    }
  }
  if (problems.length > 0) throw invalid("open the local files that the inputs name", problems);
  return sources;
};
