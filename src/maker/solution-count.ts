import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { integer, object } from '../peer/codec.ts';
import { type LateSolutions, NO_SOLUTIONS } from '../settlement/late-solutions.ts';
import { bodyOf, parseBody } from '../settlement/records.ts';

/** The ledger kind of the solutions of a contract; the id is the contract's. */
const SOLUTION_COUNT_KIND = 'solution_count';

const whole = integer(0, Number.MAX_SAFE_INTEGER);

const countCodec = object({
  version: ['version', integer(1, 1)],
  solutions: ['solutions', whole],
  late: ['late', whole],
});

/** The ledger entry of the solutions of a contract. */
export function solutionCountEntry(contractId: string, { solutions, late }: LateSolutions): LedgerEntry {
  const body = bodyOf(countCodec, { version: 1, solutions, late });
  return { type: 'put', kind: SOLUTION_COUNT_KIND, id: contractId, body };
}

/** Loads the count of a contract's solutions; a pause ended with its process. Throws `ledger_corrupt`. */
export async function loadSolutionCount(ledger: Ledger, contractId: string): Promise<LateSolutions> {
  const body = await ledger.get(SOLUTION_COUNT_KIND, contractId);
  if (body === undefined) return NO_SOLUTIONS;
  const { solutions, late } = parseBody(SOLUTION_COUNT_KIND, countCodec, body);
  return { ...NO_SOLUTIONS, solutions, late };
}
