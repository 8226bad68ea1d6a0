import type { Context } from './common-config.ts';
import type { PayeeConfig } from './config.ts';
import type { PayeeText } from './values.ts';

const PPM = 1_000_000;
/** Levels of payees: one of the pay, one of a payee's part, and one of that. */
const MOST_LEVELS = 3;

type Payee = { readonly label: string; readonly address: string; readonly level: number; ppm: number };

/**
 * The payees with what each keeps, in parts of the whole pay: what it passes on to others is theirs. Rounded
 * down to a ppm of the pay, and the rest is kept by whom it comes from.
 */
export function payeesOf(
  texts: readonly PayeeText[],
  seedSat: bigint,
  path: string,
  context: Context,
): readonly PayeeConfig[] {
  const payees = new Map<string, Payee>();
  /** What each had before it passed anything on. */
  const wholePpm = new Map<string, number>();
  for (const { label, partPpm, of, address } of texts) {
    const from = of === undefined ? undefined : payees.get(of);
    const refuse = (why: string): void => context.refuse(path, `has "${label}", ${why}`);
    if (payees.has(label)) refuse('twice');
    else if (of !== undefined && from === undefined)
      refuse(`a part of "${of}", which is not named before it`);
    else if ((from?.level ?? 0) >= MOST_LEVELS) refuse(`which is more than ${MOST_LEVELS} levels down`);
    else {
      const ppm = Math.floor(((of === undefined ? PPM : wholePpm.get(of)!) * partPpm) / PPM);
      if (ppm === 0) refuse('for whom nothing is left');
      if (from !== undefined && from.ppm <= ppm) refuse(`which leaves nothing to "${of}"`);
      if (from !== undefined) from.ppm -= ppm;
      wholePpm.set(label, ppm);
      payees.set(label, { label, address, ppm, level: (from?.level ?? 0) + 1 });
    }
  }
  return [...payees.values()].map(({ label, ppm, address }) => ({ label, ppm, address, seedSat }));
}
