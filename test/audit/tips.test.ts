import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Frame } from '../../src/audit/frames.ts';
import { parseRecord, printRecord } from '../../src/audit/records.ts';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { sha256d } from '../../src/base/hash.ts';
import { displayHash } from '../../src/bitcoin/header.ts';
import type { TipEntry } from '../../src/settlement/tip-log.ts';
import { makerSigner, minerSigner } from '../channel/fixtures.ts';
import { SeededRandom } from '../sim/random.ts';
import { audit, seal } from './exports.ts';
import { blockHeader, SyntheticContract } from './synthetic.ts';

/** Two jobs of twelve shares on each of four blocks, a share each five seconds. */
const SHAPE = { shares: 96, sharesPerState: 16, sharesPerJob: 12, branches: 2, jobsPerBlock: 2 };
const PER_BLOCK = 24;
const BLOCKS = 4;
const GRACE = 10;
const BEGAN_MS = 1_700_010_000_000;

const blockOf = (seq: number): number => Math.floor(seq / PER_BLOCK);
const hashAt = (block: number): string => displayHash(sha256d(blockHeader(block)));

type Mark = Pick<TipEntry, 'type'> & { readonly at: number; readonly block: number };

function entries(marks: readonly Mark[], seqAt: (at: number) => number, offsetMs: number): TipEntry[] {
  return marks
    .toSorted((a, b) => a.at - b.at)
    .map(({ type, at, block }) => ({
      ...{ type, atMs: BEGAN_MS + Math.round(at * 1_000) + offsetMs, seq: seqAt(at) },
      ...{ hash: hashAt(block), height: 100 + block },
      headers: type === 'start' || type === 'tip' ? [toHex(blockHeader(block))] : [],
    }));
}

/** A contract over some blocks, with what both sides saw, did and wrote. All times in seconds. */
class Course {
  readonly contract: SyntheticContract;
  readonly refused: ReadonlyMap<number, string>;
  readonly minerLog: TipEntry[];
  readonly makerLog: TipEntry[];
  /** Refused shares that the miner found in time, by what it saw. */
  readonly raced: number;

  /**
   * @param more that the maker refuses though they came in time
   * @param lateSeconds for which shares are still found on a block that was replaced, at most
   */
  constructor(random: SeededRandom, more: ReadonlyMap<number, string> = new Map(), lateSeconds = 30) {
    const part = (most: number): number => (random.below(1_000) / 1_000) * most;
    const found = Array.from({ length: SHAPE.shares }, (_, seq) => 5 * seq + part(4));
    let came = 0;
    const arrived = found.map((at) => {
      came = Math.max(came, at + part(2));
      return came;
    });
    // A block is seen while the last shares on the one before it are still found.
    const minerSees = Array.from({ length: BLOCKS }, (_, block) =>
      block === 0 ? 0 : 120 * block - part(lateSeconds),
    );
    const makerSees = minerSees.map((at, block) => (block === 0 ? 0 : at + part(10) - 5));
    const untilOf = (sees: readonly number[], seq: number): number =>
      (sees[blockOf(seq) + 1] ?? Number.POSITIVE_INFINITY) + GRACE;
    const late = arrived.flatMap((at, seq) =>
      at > untilOf(makerSees, seq) ? [[seq, 'share_stale'] as const] : [],
    );
    this.refused = new Map([...late, ...more]);
    this.raced = [...this.refused.keys()].filter(
      (seq) => found[seq]! <= untilOf(minerSees, seq) + 2,
    ).length;
    const refused = new Map([...this.refused].map(([seq, code]) => [seq, { code }]));
    this.contract = new SyntheticContract({ ...SHAPE, refused }, random);
    const foundBy = (at: number): number => found.filter((each) => each <= at).length;
    const creditedBy = (at: number): number =>
      arrived.filter((each, seq) => each <= at && !this.refused.has(seq)).length;
    const marksOf = (sees: readonly number[], slack: number): Mark[] =>
      sees.flatMap((at, block): Mark[] =>
        block === 0
          ? [{ type: 'start', at, block }]
          : [
              { type: 'tip', at, block },
              { type: 'grace', at: at + GRACE + slack, block: block - 1 },
            ],
      );
    const settled = makerSees.map((at, block): Mark => ({ type: 'settled', at: at + 30, block }));
    const [minerOff, makerOff] = [random.below(120_000) - 60_000, random.below(120_000) - 60_000];
    this.minerLog = entries(marksOf(minerSees, 2), foundBy, minerOff);
    this.makerLog = entries([...marksOf(makerSees, -2), ...settled], creditedBy, makerOff);
  }

  files(
    minerLog: readonly TipEntry[] = this.minerLog,
    makerLog: readonly TipEntry[] = this.makerLog,
  ): [Uint8Array, Uint8Array] {
    return [seal(this.contract.file('miner', minerLog)), seal(this.contract.file('maker', makerLog))];
  }
}

/** A share in the middle of a block that was replaced in time for the logs to say so. */
const inTime = (random: SeededRandom): number => PER_BLOCK * random.below(BLOCKS - 1) + 15;

/** So many runs of a property, by seeds. */
function overSeeds(numRuns: number, holds: (random: SeededRandom) => Promise<void>): Promise<void> {
  const property = fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 }), (seed) =>
    holds(new SeededRandom(seed)),
  );
  return fc.assert(property, { numRuns }) as Promise<void>;
}

/** A share refused in time, and the course with it. */
function refusedInTime(
  seed: number,
  code = 'share_stale',
): { readonly at: number; readonly course: Course } {
  const random = new SeededRandom(seed);
  const at = inTime(random);
  return { at, course: new Course(random, new Map([[at, code]])) };
}

describe('shares refused as too late, with the tip logs of both sides', () => {
  it('convict no honest maker, whatever either clock says, and what the miner found late is explained', async () => {
    await overSeeds(6, async (random) => {
      const course = new Course(random);
      const report = await audit(...course.files());
      expect(report.files.map(({ tipsFlaw }) => tipsFlaw)).toEqual([undefined, undefined]);
      expect(report.verdict).toBe(course.raced === 0 ? 'agreed' : 'undecided');
      const alone = await audit(course.files()[0]);
      expect(alone.verdict).toBe(course.raced === 0 ? 'agreed' : 'undecided');
    });
  });

  it.each(['share_stale', 'stale_race'])(
    'convict a maker that refused with %s what came in time',
    async (code) => {
      await overSeeds(3, async (random) => {
        const at = inTime(random);
        const course = new Course(random, new Map([[at, code]]));
        const [miner, maker] = course.files();
        const report = await audit(maker, miner);
        expect(report).toMatchObject({ verdict: 'maker', finding: { code: 'bad_commitment', seq: at } });
        expect(report.finding!.words).toContain(code);
        // One side's word is not enough.
        expect((await audit(miner)).verdict).toBe('undecided');
      });
    },
  );

  it('convict nobody by what a miner writes into its own log', async () => {
    await overSeeds(6, async (random) => {
      const course = new Course(random);
      const moved = course.minerLog.map((entry) => {
        const seq = random.once(2) ? entry.seq : Math.max(0, entry.seq + random.below(40) - 20);
        return { ...entry, seq, atMs: entry.atMs + random.below(7_200_000) - 3_600_000 };
      });
      const report = await audit(...course.files(moved));
      expect(['agreed', 'undecided', 'file']).toContain(report.verdict);
    });
  });

  it('convict no miner by what a maker writes into its own log, and leave it undecided at best', async () => {
    await overSeeds(4, async (random) => {
      const at = inTime(random);
      const course = new Course(random, new Map([[at, 'share_stale']]));
      const moved = course.makerLog
        .filter(({ type }) => (type === 'tip' || type === 'start' ? true : !random.once(3)))
        .map((entry) => ({ ...entry, atMs: entry.atMs + random.below(7_200_000) - 3_600_000 }));
      const report = await audit(...course.files(undefined, moved));
      expect(['maker', 'undecided']).toContain(report.verdict);
      const none = await audit(
        ...course.files(
          undefined,
          course.makerLog.filter(({ type }) => type !== 'settled'),
        ),
      );
      expect(none.verdict).toBe('undecided');
      expect(none.finding!.words).toContain('the tip logs do not show');
    });
  });

  it('are explained where their block is one that the own node of the miner never had', async () => {
    const refused = new Map([48, 51, 54, 57].map((seq) => [seq, 'stale_race'] as const));
    const course = new Course(new SeededRandom(3), refused, 0);
    const without = (log: readonly TipEntry[]): TipEntry[] =>
      log
        .filter(({ hash }) => hash === hashAt(0) || hash === hashAt(1))
        .filter(({ type, hash }) => type !== 'grace' || hash === hashAt(0));
    expect((await audit(course.files(without(course.minerLog))[0])).verdict).toBe('agreed');
    expect((await audit(course.files()[0])).verdict).toBe('undecided');
  });
});

describe('a tip log', () => {
  const { course } = refusedInTime(7);
  const changed = (change: (entry: TipEntry, at: number) => Partial<TipEntry>): TipEntry[] =>
    course.makerLog.map((entry, at) => ({ ...entry, ...change(entry, at) }));
  const isTip = ({ type, hash }: TipEntry): boolean => type === 'tip' && hash === hashAt(2);
  const unmined = (hex: string): string => {
    for (let nonce = 0; ; nonce += 1) {
      const bytes = Buffer.from(hex, 'hex');
      bytes.writeUInt32LE(nonce, 76);
      if (sha256d(bytes)[31]! >= 0x80) return bytes.toString('hex');
    }
  };

  it.each<readonly [string, RegExp, () => TipEntry[]]>([
    [
      'has a header without work',
      /proof of work/,
      () => changed((entry) => (isTip(entry) ? { headers: entry.headers.map(unmined) } : {})),
    ],
    [
      'skips a block',
      /on a block that it does not have/,
      () =>
        course.makerLog.filter(
          (entry) => entry.hash !== hashAt(1) && !(entry.type === 'grace' && entry.hash === hashAt(0)),
        ),
    ],
    [
      'is of another height',
      /cannot follow/,
      () => changed((entry) => (isTip(entry) ? { height: 7 } : {})),
    ],
    [
      'saw a block before its time',
      /hours before its time/,
      () => changed((entry) => (isTip(entry) ? { atMs: 1_699_980_000_000 } : {})),
    ],
    [
      'has no header of a tip',
      /do not end with/,
      () => changed((entry) => (isTip(entry) ? { headers: [] } : {})),
    ],
    ['counts shares back', /go back/, () => changed((_, at) => (at === 4 ? { seq: 0 } : {}))],
    ['does not begin', /begin with a start/, () => course.makerLog.slice(1)],
    [
      'ends a grace of the tip',
      /was not replaced/,
      () => changed((entry) => (entry.type === 'grace' ? { hash: hashAt(3) } : {})),
    ],
    [
      'settles on another block',
      /was not the tip/,
      () => changed((entry) => (entry.type === 'settled' ? { hash: hashAt(3) } : {})),
    ],
  ])('that %s is left out, signed or not', async (_, why, log) => {
    const report = await audit(...course.files(undefined, log()));
    expect(report.files[1]!.tipsFlaw).toMatch(why);
    expect(report.verdict).toBe('undecided');
  });

  it('that its side did not sign, or of more shares than there are, is not that of the file', async () => {
    const { contract, minerLog, makerLog } = course;
    const miner = seal(contract.file('miner', minerLog));
    const forged = await audit(miner, seal(contract.file('maker', makerLog, minerSigner)));
    expect(forged).toMatchObject({ verdict: 'undecided' });
    expect(forged.files[1]!.findings.map(({ blame }) => blame)).toEqual(['file']);
    const alone = await audit(seal(contract.file('miner', minerLog, makerSigner)));
    expect(alone).toMatchObject({ verdict: 'file', finding: { code: 'bad_signature' } });
    const long = minerLog.map((entry, at) =>
      at === minerLog.length - 1 ? { ...entry, seq: 1_000 } : entry,
    );
    expect((await audit(seal(contract.file('miner', long)))).verdict).toBe('file');
  });

  it('with any byte altered is found', async () => {
    const frames = course.contract.file('maker', course.makerLog);
    const random = new SeededRandom(11);
    for (const [index, frame] of frames.entries()) {
      if (frame.kind !== 'tips') continue;
      for (let time = 0; time < 15; time += 1) {
        const payload = Uint8Array.from(frame.payload);
        payload[random.below(payload.length)]! ^= 1 << random.below(8);
        const altered: Frame[] = frames.map((each, at) =>
          at === index ? { kind: 'tips', payload } : each,
        );
        const report = await audit(seal(altered)).catch((error: unknown) => error);
        if (report instanceof CodedError) expect(report.code).toBe('bad_evidence');
        else expect(report).toMatchObject({ verdict: 'file' });
      }
    }
  });

  it('is one document after another, and signed with the last', () => {
    const tips = course.contract
      .file('maker', [...course.makerLog, ...course.makerLog])
      .flatMap((frame) => (frame.kind === 'tips' ? [parseRecord('tips', frame)] : []));
    expect(tips.map(({ entries: each }) => each.length)).toEqual([16, 2 * course.makerLog.length - 16]);
    expect(tips.map(({ signature }) => signature !== undefined)).toEqual([false, true]);
    expect(() => printRecord('tips', tips[0]!)).not.toThrow();
  });
});
