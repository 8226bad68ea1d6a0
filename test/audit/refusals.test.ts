import { describe, expect, it } from 'vitest';
import type { Frame } from '../../src/audit/frames.ts';
import { parseJob, parseRecord, printJob, printRecord, printShares } from '../../src/audit/records.ts';
import { signCommitment } from '../../src/channel/commitment.ts';
import { EMPTY_FAULT_LOG, faultLogHead } from '../../src/channel/fault-log.ts';
import { unpackWireShares, type WireShare } from '../../src/peer/packed-shares.ts';
import { commitmentOf } from '../../src/settlement/commitments.ts';
import type { AcceptedShare } from '../../src/shares/share.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { minerSigner } from '../channel/fixtures.ts';
import { until, World } from '../maker/world.ts';
import { seededRandom } from '../seed.ts';
import { audit, exportOf, seal } from './exports.ts';
import { SyntheticContract, type SyntheticOptions } from './synthetic.ts';

const SMALL = { shares: 48, sharesPerState: 16, sharesPerJob: 12, branches: 2 };
const AT = 20;

function refused(
  code: string,
  options: Partial<SyntheticOptions> & { isBad?: boolean } = {},
): SyntheticContract {
  const { isBad = false, ...rest } = options;
  return new SyntheticContract(
    { ...SMALL, refused: new Map([[AT, { code, isBad }]]), ...rest },
    seededRandom(),
  );
}

async function verdictOf(frames: readonly Frame[]): Promise<string> {
  return (await audit(seal(frames))).verdict;
}

function replaced(
  frames: readonly Frame[],
  kind: Frame['kind'],
  index: number,
  payload: Uint8Array,
): Frame[] {
  let seen = -1;
  return frames.map((frame) => {
    if (frame.kind === kind) seen += 1;
    return frame.kind === kind && seen === index ? { kind, payload } : frame;
  });
}

function nth(frames: readonly Frame[], kind: Frame['kind'], index: number): Frame {
  return frames.filter((frame) => frame.kind === kind)[index]!;
}

describe('a maker that signed that it refused good work', () => {
  it.each(['share_bad', 'share_low', 'share_unbound', 'over_budget'])(
    'with %s is convicted',
    async (code) => {
      const { frames } = refused(code);
      const report = await audit(seal(frames));
      expect(report).toMatchObject({
        verdict: 'maker',
        finding: { code: 'bad_commitment', n: 2, seq: AT },
      });
      expect(report.finding!.words).toContain(code);
    },
  );

  it('is convicted by its own signature alone, and once by what two commitments cover', async () => {
    const last = { alone: new Set([3]), refused: new Map([[40, { code: 'share_low' }]]) };
    const report = await audit(seal(new SyntheticContract({ ...SMALL, ...last }, seededRandom()).frames));
    expect(report).toMatchObject({ verdict: 'maker', finding: { n: 3, seq: 40 } });
    const again = await audit(seal(refused('share_low', { alone: new Set([2]) }).frames));
    expect(again).toMatchObject({ verdict: 'maker', finding: { n: 2, seq: AT } });
    expect(again.files[0]!.findings.map(({ blame }) => blame)).toEqual(['maker', 'maker']);
  });

  it.each([
    'stale_race',
    'share_stale',
    'share_duplicate',
    'bad_ntime',
    'expiry_near',
    'late_solutions',
    'unlogged',
  ])('for what evidence does not show (%s) is not, and the words say so', async (code) => {
    const report = await audit(seal(refused(code).frames));
    expect(report).toMatchObject({ verdict: 'undecided', finding: { n: 2, seq: AT } });
    expect(report.finding!.words).toContain(code);
  });

  it.each(['jobless', 'none'] as const)('whose log has %s of it is not', async (evidence) => {
    expect(await verdictOf(refused('share_low', { evidence }).frames)).toBe('undecided');
  });
});

describe('a maker that refused what is no work', () => {
  it.each(['share_low', 'share_bad', 'over_budget', 'stale_race'])('with %s is right', async (code) => {
    const report = await audit(seal(refused(code, { isBad: true }).frames));
    expect(report).toMatchObject({ verdict: 'agreed', files: [{ counts: { refused: 1, committed: 47 } }] });
  });

  /** What a miner might make of its export, which holds that one of its shares was refused as too low. */
  const good = (at: number): WireShare => {
    const { frames } = new SyntheticContract(SMALL, seededRandom());
    const blocks = frames.filter(({ kind }) => kind === 'shares');
    const shares = blocks.flatMap(({ payload }) => unpackWireShares(payload.subarray(16)));
    return shares[at]!;
  };
  const forgeries: Readonly<Record<string, (contract: SyntheticContract) => readonly Frame[]>> = {
    'a good share in its place': ({ frames }) => withShare(frames, () => good(AT)),
    'the same share at an easier difficulty': ({ frames }) =>
      withShare(frames, (share) => ({ ...share, difficulty: shareTargetOf(2 ** -41).difficulty })),
    'another nonce': ({ frames }) => withShare(frames, (share) => ({ ...share, nonce: share.nonce ^ 1 })),
    'another job under the same id': ({ frames }) => {
      const job = parseJob(nth(frames, 'job', 1));
      return replaced(frames, 'job', 1, printJob({ ...job, versionMask: 0 }));
    },
    'a log of its own, which it signed itself': (contract) => withLog(contract, true),
    'a log of its own, which nobody signed': (contract) => withLog(contract, false),
    'no log': ({ frames }) => {
      const record = parseRecord('commitment', nth(frames, 'commitment', 1));
      const { faults: _, ...without } = record;
      const older = { ...without, refused: [{ first: AT, count: 1 }] };
      return replaced(frames, 'commitment', 1, printRecord('commitment', older));
    },
    'another reason': ({ frames }) => withFaults(frames, { code: 'share_bad' }),
    'other work': ({ frames }) => withFaults(frames, { workHashes: 1n }),
    'another digest': ({ frames }) => withFaults(frames, { digest: new Uint8Array(32) }),
    'another place': ({ frames }) => withFaults(frames, { first: AT + 1 }),
    'another kind of evidence': ({ frames }) => withFaults(frames, { evidence: 'none' }),
  };

  it.each(Object.keys(forgeries))('is not convicted by %s', async (name) => {
    const contract = refused('share_low', { isBad: true });
    expect(await verdictOf(forgeries[name]!(contract))).toBe('file');
  });
});

/** The frames with the refused share replaced. */
function withShare(frames: readonly Frame[], change: (share: WireShare) => WireShare): readonly Frame[] {
  const index = frames
    .filter(({ kind }) => kind === 'shares')
    .findIndex(({ payload }) => firstOf(payload) <= AT && AT < firstOf(payload) + sharesOf(payload).length);
  const { payload } = nth(frames, 'shares', index);
  const first = firstOf(payload);
  const shares = sharesOf(payload);
  return replaced(
    frames,
    'shares',
    index,
    printShares(first, 0, shares.with(AT - first, change(shares[AT - first]!))),
  );
}

function firstOf(payload: Uint8Array): number {
  return Number(new DataView(payload.buffer, payload.byteOffset).getBigUint64(0, true));
}

function sharesOf(payload: Uint8Array): readonly WireShare[] {
  return unpackWireShares(payload.subarray(16));
}

function withFaults(frames: readonly Frame[], change: object): readonly Frame[] {
  const record = parseRecord('commitment', nth(frames, 'commitment', 1));
  const faults = record.faults!.map((fault) => ({ ...fault, ...change }));
  return replaced(frames, 'commitment', 1, printRecord('commitment', { ...record, faults }));
}

/** Another reason, and the head that goes with it. */
function withLog({ frames, params }: SyntheticContract, isSigned: boolean): readonly Frame[] {
  const record = parseRecord('commitment', nth(frames, 'commitment', 1));
  const faults = record.faults!.map((fault) => ({ ...fault, code: 'share_bad' }));
  const other = { ...record, faults, faultLogHead: faultLogHead(EMPTY_FAULT_LOG, faults) };
  const signature = signCommitment(params, commitmentOf(other), minerSigner);
  const signed = isSigned ? { ...other, makerSignature: signature, minerSignature: signature } : other;
  return replaced(frames, 'commitment', 1, printRecord('commitment', signed));
}

describe('an honest maker', () => {
  it('is never convicted, whatever a miner sends it', async () => {
    const random = seededRandom();
    const world = new World();
    await world.open();
    const spoil: readonly ((share: AcceptedShare) => AcceptedShare)[] = [
      (share) => share,
      (share) => changed(share, { version: share.submission.version ^ 1 }),
      (share) => changed(share, { ntime: share.submission.ntime - 1 }),
      (share) => changed(share, { ntime: share.submission.ntime + 100_000 }),
      (share) => changed(share, { assigned: shareTargetOf(2 ** -29) }),
      (share) => changed(share, { assigned: shareTargetOf(2 ** -20) }),
    ];
    for (let round = 0; round < 24; round += 1) {
      const payScriptHex = random.below(6) === 0 ? { payScriptHex: '51' } : {};
      const found = world.find(world.job(payScriptHex), 1 + random.below(3));
      const spoilt = found.map((share) => spoil[random.below(2) * random.below(spoil.length)]!(share));
      await world.deliver(random.below(4) === 0 ? [...spoilt, ...spoilt] : spoilt);
      if (random.below(8) === 0) world.chain.generate(1);
      if (random.below(8) === 0) await world.restartMiner();
      if (random.below(8) === 0) await world.restartMaker();
      const both = (): boolean => world.miner.status.connected && world.maker.status[0]?.connected === true;
      await until('connected', both);
    }
    await world.rest();
    const before = world.maker.status[0]!.ackedN;
    await world.work(4);
    await until('a last state', () => world.maker.status[0]!.ackedN > before);
    await world.rest();
    const files = [await exportOf(world.minerStore), await exportOf(world.makerStore)];
    await world.stop();
    const reports = [await audit(files[0]!), await audit(files[1]!), await audit(...files)];
    for (const report of reports) {
      expect(
        report.files.flatMap(({ findings }) => findings).filter(({ blame }) => blame !== 'undecided'),
      ).toEqual([]);
    }
    const [{ counts }] = reports[0]!.files as [(typeof reports)[0]['files'][0]];
    expect(counts.refused).toBeGreaterThan(0);
    expect(counts.countersigned).toBe(counts.commitments);
  });
});

function changed(share: AcceptedShare, change: Partial<AcceptedShare['submission']>): AcceptedShare {
  return { ...share, submission: { ...share.submission, ...change } };
}
