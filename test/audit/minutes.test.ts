import { describe, expect, it } from 'vitest';
import type { AuditReport } from '../../src/audit/audit.ts';
import type { Frame } from '../../src/audit/frames.ts';
import { parseRecord, printRecord } from '../../src/audit/records.ts';
import { rulingsAgainst } from '../../src/audit/ruling.ts';
import { toHex } from '../../src/base/bytes.ts';
import { isMetered } from '../../src/channel/commitment.ts';
import type { Signer } from '../../src/channel/signer.ts';
import {
  firstHead,
  headAfter,
  headDigest,
  type MinuteReport,
  type MinuteRole,
  type MinuteSays,
} from '../../src/contract/minutes.ts';
import type { TermsV3 } from '../../src/contract/terms.ts';
import { auditorSigner, makerSigner, minerSigner } from '../channel/fixtures.ts';
import { seededRandom } from '../seed.ts';
import { audit, seal } from './exports.ts';
import { EASY, SyntheticContract } from './synthetic.ts';

const SIGNERS: Readonly<Record<MinuteRole, Signer>> = { miner: minerSigner, maker: makerSigner };
const SHARES_PER_MINUTE = 60n;

function delivering(terms: TermsV3): TermsV3 {
  const committed = (EASY.workHashes * SHARES_PER_MINUTE) / 60n;
  const easiestHex = terms.target.easiestHex;
  return {
    ...terms,
    target: { easiestHex, hardestHex: easiestHex },
    rate: { committed, min: committed, max: 2n * committed },
    durationBlocks: 1008,
    bonds: {
      ...{ bondMode: 'auditor', bondCsvBlocks: 2016, collateralSat: 20_000n, makerBondSat: 0n },
      size: { collateralPpm: 0, worstCaseSat: 20_000n, makerBondPpm: 0, makerBondFloorSat: 0n },
      auditorKeyHex: toHex(auditorSigner.publicKey('auditor')),
    },
    delivery: {
      ...{ windowMinutes: 1440, tolerancePpm: 0, curtailmentBlocks: 0, cureBlocks: 6 },
      falseDefaultAlphaPpm: 1000,
    },
  };
}

const contract = new SyntheticContract(
  { shares: 48, sharesPerState: 16, sharesPerJob: 12, branches: 2, version3: delivering },
  seededRandom(),
);

type Says = { readonly miner: MinuteSays; readonly maker: MinuteSays };

/** The reports of a side over hours in which so many shares come each minute. */
function reportsOf(role: MinuteRole, { shares, says }: { shares: (minute: number) => bigint; says: Says }) {
  let workHashes = 0n;
  return Array.from({ length: 240 }, (_, at): MinuteReport => {
    const minute = 28_000_020 + at;
    workHashes += shares(at) * EASY.workHashes;
    const said = at < 60 ? (role === 'miner' ? 'delivering' : 'taking') : says[role];
    return {
      minute,
      height: 900 + Math.floor(at / 10),
      workHashes,
      paidHashes: 0n,
      heard: minute - 1,
      says: said,
    };
  });
}

/** The frames of a log, an hour in each. */
function framesOf(role: MinuteRole, reports: readonly MinuteReport[], signedUntil = Infinity): Frame[] {
  const { contractId } = contract.params;
  let head = firstHead(contractId, role);
  const hours = Map.groupBy(reports, ({ minute }) => Math.floor(minute / 60));
  return [...hours.values()].map((hour) => {
    for (const report of hour) head = headAfter(head, report);
    const isSigned = hour.at(-1)!.minute < signedUntil;
    const signature = isSigned ? toHex(SIGNERS[role].signSchnorr('node', headDigest(head))) : undefined;
    return { kind: 'minutes', payload: printRecord('minutes', { role, reports: hour, signature }) };
  });
}

/** The file of a side, with these frames of both logs. */
function fileOf(role: MinuteRole, logs: readonly Frame[]): Uint8Array {
  const [first, terms, channel, ...rest] = contract.frames;
  const head = printRecord('head', { ...parseRecord('head', first!), role });
  return seal([{ kind: 'head', payload: head }, terms!, channel!, ...logs, ...rest]);
}

const idle = {
  shares: (at: number) => (at < 60 ? SHARES_PER_MINUTE : 0n),
  says: { miner: 'idle', maker: 'taking' },
} as const;
const honest = { shares: () => SHARES_PER_MINUTE, says: { miner: 'delivering', maker: 'taking' } } as const;
const suspended = { ...idle, says: { miner: 'delivering', maker: 'suspended' } } as const;
const both = (what: Parameters<typeof reportsOf>[1]): Frame[] => [
  ...framesOf('miner', reportsOf('miner', what)),
  ...framesOf('maker', reportsOf('maker', what)),
];
const files = (what: Parameters<typeof reportsOf>[1]): Uint8Array[] => [
  fileOf('miner', both(what)),
  fileOf('maker', both(what)),
];

/** To whom the ruling gives the bonds of the newest state. */
function payees({ verdict, newest: { params, last } }: AuditReport): readonly string[] {
  if ((verdict !== 'miner' && verdict !== 'maker') || isMetered(params)) return [];
  return [...new Set(rulingsAgainst(verdict, params, last!, 2000).map(({ payee }) => payee))];
}

describe('an audit of exports with minute logs', () => {
  it.each([
    ['honest sides', honest, 'agreed', 'none', []],
    ['a miner that is idle beyond its cure', idle, 'miner', 'miner', ['maker']],
    ['a maker that stands still beyond it', suspended, 'maker', 'maker', ['miner']],
  ] as const)('of %s', async (_what, what, verdict, delivery, to) => {
    const report = await audit(...files(what));
    expect(report).toMatchObject({ verdict, delivery: { verdict: delivery } });
    expect(payees(report)).toEqual(to);
    if (verdict !== 'agreed') expect(report.finding?.code).toBe('delivery_default');
  });

  it('of one side convicts that side alone, by what it had of the other log', async () => {
    const [miner, maker] = files(idle);
    expect((await audit(miner!)).verdict).toBe('miner');
    expect(await audit(maker!)).toMatchObject({ verdict: 'undecided', delivery: { verdict: 'undecided' } });
  });

  it('counts no tail that its side did not sign', async () => {
    // Of the miner’s idle hours the file has no signature.
    const logs = [
      ...framesOf('miner', reportsOf('miner', idle), 28_000_080),
      ...framesOf('maker', reportsOf('maker', idle)),
    ];
    const report = await audit(fileOf('miner', logs), fileOf('maker', logs));
    expect(report).toMatchObject({ verdict: 'agreed', delivery: { verdict: 'none' } });
    expect(report.delivery!.to).toBeLessThan(28_000_080);
  });

  it('takes a log that was written anew for none, and a side that signed two for one that was down', async () => {
    const real = both(idle);
    const forged = [
      ...framesOf('miner', reportsOf('miner', honest)),
      ...framesOf('maker', reportsOf('maker', idle)),
    ];
    const report = await audit(fileOf('miner', forged), fileOf('maker', real));
    expect(report).toMatchObject({ verdict: 'miner', delivery: { forks: { miner: 28_000_080 } } });
  });

  it('is undecided where the miner tells of work that only its own log has', async () => {
    const claimed = [
      ...framesOf('miner', reportsOf('miner', honest)),
      ...framesOf('maker', reportsOf('maker', idle)),
    ];
    // Without the miner’s file nobody knows what was refused.
    expect((await audit(fileOf('maker', claimed))).verdict).toBe('undecided');
  });

  it('refuses a log that does not follow', async () => {
    const [first, second, ...rest] = framesOf('miner', reportsOf('miner', honest));
    await expect(audit(fileOf('miner', [second!, first!, ...rest]))).rejects.toMatchObject({
      code: 'bad_evidence',
    });
  });
});
