import { type Mutations, without } from './mutation.ts';

const auditor = without('auditor/auditor.ts');
const link = without('settlement/auditor-link.ts');
const RULING = 'contract/minute-ruling.ts';
const ruling = without(RULING);

/** What an auditor, and who tells it, checks, undone. */
export const OF_AUDITORS: Mutations = {
  'ruled-for-whoever-asks': auditor(
    'the auditor signs for the side that asks, whatever the logs say',
    'asks-for-what-is-not-ruled',
    'if (verdict !== loser) this.#refuse(words);',
  ),
  'ruling-heard-once': link(
    'a side whose log is over does not ask again for the ruling',
    'tells-its-auditor-late',
    'side.ruling?.verdict !== otherSide(side.role)',
    'side.ruling === undefined',
  ),
  'closed-asks-for-no-ruling': link(
    'a side that starts anew after its close does not ask for the ruling any more',
    'starts-anew-before-its-ruling',
    "new Set(['open', 'closing', 'closed'])",
    "new Set(['open', 'closing'])",
  ),
  'minutes-of-anybody': without('contract/signed-log.ts')(
    'a log counts that its side did not sign',
    'forges-the-log-of-the-miner',
    'const isSigned = signature !== undefined && this.#verify(digest, this.#nodeIdHex, signature);',
    'const isSigned = signature !== undefined || digest !== undefined;',
  ),
  'two-logs-unseen': {
    what: 'a side that signs two logs is believed the one it shows itself',
    ...{ strategy: 'forges-its-log', seed: 1 },
    edits: [
      {
        file: RULING,
        from: 'if (!isSame(a[at]!, b[at]!)) return',
        to: 'if (!isSame(a[at]!, b[at]!) && at < 0) return',
      },
      {
        file: RULING,
        from: 'for (const report of reports) this.#add(report);',
        to: 'for (const report of reports) if (!this.#reports.has(report.minute)) this.#add(report);',
      },
    ],
  },
  'two-logs-from-the-first': without('contract/delivery-course.ts')(
    'a maker that signs two logs from its first report on is never ruled on',
    'forges-what-it-paid',
    "state.creditedHashes === undefined && maker !== 'down'",
    'state.creditedHashes === undefined',
  ),
  'half-a-log-is-enough': ruling(
    'a side is found in default by what it never showed that it had',
    'tells-half-of-a-log',
    'this.#logs[other].told[side] >= minute',
    'this.#logs[other].told[side] <= minute || minute >= 0',
  ),
  'credit-is-believed': {
    what: 'the auditor takes the count of the maker for all that was delivered, whatever it signed for',
    ...{ strategy: 'credits-less-than-it-took', seed: 1 },
    edits: [
      { file: 'auditor/auditor-case.ts', from: 'isCreditProven: false', to: 'isCreditProven: true' },
      {
        file: RULING,
        from: 'if (maker.workHashes < earlier.paidHashes) this.#isBehind = true;',
        to: 'if (maker.workHashes < earlier.paidHashes) this.#isBehind = false;',
      },
    ],
  },
  'tells-its-own-log-alone': link(
    'a side does not tell the auditor what it had of the other log',
    'stops-under-an-auditor',
    "for (const role of ['miner', 'maker'] as const) {\n      const told",
    'for (const role of [side.role]) {\n      const told',
  ),
};
