import { describe, expect, it } from 'vitest';
import type { AuditReport } from '../../src/audit/audit.ts';
import type { Frame } from '../../src/audit/frames.ts';
import { parseRecord, printRecord, printShares } from '../../src/audit/records.ts';
import { concat, toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { signCommitment } from '../../src/channel/commitment.ts';
import { ShareTree } from '../../src/channel/share-tree.ts';
import { signState } from '../../src/channel/states.ts';
import { easiestTarget } from '../../src/contract/terms-access.ts';
import { unpackWireShares } from '../../src/peer/packed-shares.ts';
import { commitmentOf } from '../../src/settlement/commitments.ts';
import { meets } from '../../src/shares/rules.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { verifyShares } from '../../src/shares/verify.ts';
import { makerSigner, minerSigner } from '../channel/fixtures.ts';
import { Stand } from '../maker/metering-stand.ts';
import { SHARE, until, World } from '../maker/world.ts';
import { seededRandom } from '../seed.ts';
import { audit, exportOf, framesOf, kernel, seal } from './exports.ts';
import { EASY, SyntheticContract } from './synthetic.ts';

async function step(world: World, n: number): Promise<void> {
  await world.work(4);
  await until(`state ${n}`, () => world.maker.status[0]?.ackedN === n);
}

/** The exports of both sides, of a contract over which something happened. */
async function exportsOf(
  run: (world: World) => Promise<void>,
): Promise<{ miner: Uint8Array; maker: Uint8Array }> {
  const world = new World();
  await world.open();
  await run(world);
  await world.rest();
  const files = { miner: await exportOf(world.minerStore), maker: await exportOf(world.makerStore) };
  await world.stop();
  return files;
}

describe('the exports of a contract', () => {
  it('of honest sides agree, each alone and together, with every share, state and sat', async () => {
    const { miner, maker } = await exportsOf(async (world) => {
      await step(world, 1);
      await step(world, 2);
      await world.work(1);
    });
    for (const files of [[miner], [maker], [miner, maker]]) {
      const report = await audit(...files);
      expect(report).toMatchObject({ verdict: 'agreed', finding: undefined });
      for (const file of report.files) {
        expect(file.counts).toMatchObject({
          shares: 9,
          committed: 8,
          unsigned: 1,
          states: 3,
          countersigned: 2,
        });
        const workHashes = 8n * SHARE.workHashes;
        expect(file).toMatchObject({ stateNumber: 2, workHashes, paidSat: 10n * workHashes });
        expect(file.unsignedHashes).toBe(SHARE.workHashes);
      }
    }
  });

  it('agree over shares that were refused for what anybody sees, and a restart of either side', async () => {
    const { miner, maker } = await exportsOf(async (world) => {
      await step(world, 1);
      await world.deliver(world.find(world.job({ payScriptHex: '51' }), 3));
      await step(world, 2);
      await world.restartMaker();
      await until('back', () => world.miner.status.live && world.maker.status[0]?.connected === true);
      await step(world, 3);
      await world.restartMiner();
      await until('back', () => world.miner.status.live && world.maker.status[0]?.connected === true);
      await step(world, 4);
    });
    const report = await audit(miner, maker);
    expect(report).toMatchObject({ verdict: 'agreed' });
    expect(report.files.map(({ counts }) => [counts.shares, counts.refused, counts.committed])).toEqual([
      [19, 3, 16],
      [16, 0, 16],
    ]);
  });
});

const SMALL = { shares: 48, sharesPerState: 16, sharesPerJob: 12, branches: 2 };

function small(): SyntheticContract {
  return new SyntheticContract(SMALL, seededRandom());
}

/** The report of frames sealed again, as a side that lies would hand them in. */
function auditFrames(...files: readonly (readonly Frame[])[]): Promise<AuditReport> {
  return audit(...files.map(seal));
}

/** The frames with one of a kind replaced. */
function replaced(
  frames: readonly Frame[],
  kind: Frame['kind'],
  index: number,
  payload: Uint8Array,
): Frame[] {
  const place = frames.map((frame, at) => [frame.kind, at] as const).filter(([each]) => each === kind)[
    index
  ]![1];
  return frames.with(place, { kind, payload });
}

function nth(frames: readonly Frame[], kind: Frame['kind'], index: number): Frame {
  return frames.filter((frame) => frame.kind === kind)[index]!;
}

describe('an audit', () => {
  it('agrees with a contract of whole blocks of shares', async () => {
    const { frames } = small();
    const report = await auditFrames(frames);
    expect(report).toMatchObject({ verdict: 'agreed' });
    expect(report.files[0]).toMatchObject({ stateNumber: 3, workHashes: 48n * EASY.workHashes });
  });

  it('says the maker is wrong, where it signed less for a state than its own commitment says', async () => {
    const { frames, params } = small();
    const state = parseRecord('state', nth(frames, 'state', 2));
    const low = signState(params, 2, state.workHashes - 1n, makerSigner);
    const lied = replaced(frames, 'state', 2, printRecord('state', low));
    const report = await auditFrames(lied);
    expect(report).toMatchObject({ verdict: 'maker', finding: { code: 'bad_amount', n: 2 } });
    expect(await auditFrames(lied, frames)).toMatchObject({ verdict: 'maker', finding: { n: 2 } });
  });

  it('says the maker is wrong, where it signed less than the shares under its own root are worth', async () => {
    const { frames, params } = small();
    const record = parseRecord('commitment', nth(frames, 'commitment', 2));
    const low = { ...record, workHashes: record.workHashes - 1n, minerSignature: undefined };
    const makerSignature = signCommitment(params, commitmentOf(low), makerSigner);
    const commitment = printRecord('commitment', { ...low, makerSignature });
    const state = printRecord('state', signState(params, 3, low.workHashes, makerSigner));
    const lied = replaced(replaced(frames, 'commitment', 2, commitment), 'state', 3, state);
    const report = await auditFrames(lied);
    expect(report).toMatchObject({ verdict: 'maker', finding: { code: 'bad_amount', n: 3 } });
  });

  it('says the maker is wrong, where two files have two contents for one state', async () => {
    const { frames, params } = small();
    const state = parseRecord('state', nth(frames, 'state', 3));
    const record = parseRecord('commitment', nth(frames, 'commitment', 2));
    const other = signState(params, 3, state.workHashes + 1n, makerSigner);
    const content = { ...record, workHashes: other.workHashes };
    const signed = {
      ...content,
      makerSignature: signCommitment(params, commitmentOf(content), makerSigner),
      minerSignature: undefined,
    };
    const shown = replaced(
      replaced(frames, 'state', 3, printRecord('state', other)),
      'commitment',
      2,
      printRecord('commitment', signed),
    );
    const report = await auditFrames(frames, shown);
    expect(report).toMatchObject({ verdict: 'maker', finding: { code: 'equivocation', n: 3 } });
    expect(report.finding!.words).toContain('two contents for state 3');
  });

  it('says the miner is wrong, where both signed for a share that was sold before', async () => {
    const { frames } = new SyntheticContract({ ...SMALL, repeats: 30 }, seededRandom());
    const report = await auditFrames(frames);
    expect(report).toMatchObject({ verdict: 'miner', finding: { code: 'share_duplicate', seq: 30, n: 2 } });
    expect(report.finding!.words).toContain('it is share 29 again');
  });

  it('convicts nobody by difficulties, which the file may have made up', async () => {
    const { frames, jobs, params } = small();
    const { payload } = nth(frames, 'shares', 0);
    const shares = unpackWireShares(payload.subarray(16));
    const inputs = shares.map((share) => {
      return { ...share, job: 0, extranonce: concat(share.extranonce1, share.extranonce2) };
    });
    const hashes = verifyShares(kernel, [jobs[0]!], inputs);
    const harder = shareTargetOf(2 ** -30);
    const isLucky = (place: number): boolean => meets(hashes, place * 32, harder.words);
    const record = parseRecord('commitment', nth(frames, 'commitment', 0));
    expect(easiestTarget(params.terms)).toBe(EASY.target);
    for (const lucky of [true, false]) {
      const place = shares.findIndex((_share, index) => isLucky(index) === lucky);
      expect(place).not.toBe(-1);
      const altered = shares.with(place, { ...shares[place]!, difficulty: harder.difficulty });
      const more = record.creditedHashes + harder.workHashes - EASY.workHashes;
      const lied = replaced(
        replaced(frames, 'shares', 0, printShares(0, 0, altered)),
        'commitment',
        0,
        printRecord('commitment', { ...record, creditedHashes: more }),
      );
      expect((await auditFrames(lied)).verdict, `lucky: ${lucky}`).toBe('file');
    }
  });

  it('convicts nobody by a count of shares that no root has', async () => {
    const { frames } = small();
    const record = parseRecord('commitment', nth(frames, 'commitment', 0));
    const tree = ShareTree.parse({ ...record.tree.toJson(), count: 2 * record.tree.count });
    expect(tree.root()).toEqual(record.tree.root());
    const lied = replaced(frames, 'commitment', 0, printRecord('commitment', { ...record, tree }));
    expect((await auditFrames(lied)).verdict).toBe('file');
  });

  it('takes a commitment that one side signed alone for what it is, and goes on', async () => {
    const { frames } = small();
    const record = parseRecord('commitment', nth(frames, 'commitment', 2));
    const alone = replaced(
      frames,
      'commitment',
      2,
      printRecord('commitment', { ...record, minerSignature: undefined }),
    );
    const report = await auditFrames(alone);
    expect(report).toMatchObject({
      verdict: 'agreed',
      files: [{ counts: { commitments: 3, countersigned: 2 } }],
    });
  });

  it('proves nothing by a file whose signatures are of somebody else, and believes the other', async () => {
    const { frames, params } = small();
    const record = parseRecord('commitment', nth(frames, 'commitment', 0));
    const forged = { ...record, makerSignature: signCommitment(params, commitmentOf(record), minerSigner) };
    const lied = replaced(frames, 'commitment', 0, printRecord('commitment', forged));
    expect(await auditFrames(lied)).toMatchObject({
      verdict: 'file',
      finding: { code: 'bad_signature', n: 1 },
    });
    expect(await auditFrames(lied, frames)).toMatchObject({ verdict: 'agreed' });
  });

  it('refuses files that are damaged, cut short, longer, of no contract or of another', async () => {
    const file = seal(small().frames);
    const code = async (...files: Uint8Array[]): Promise<string> =>
      audit(...files).then(
        ({ verdict }) => verdict,
        (error: unknown) => codeOf(error),
      );
    const random = seededRandom();
    for (let round = 0; round < 200; round += 1) {
      const damaged = Uint8Array.from(file);
      damaged[random.below(file.length)]! ^= 1 + random.below(255);
      expect(await code(damaged)).toBe('bad_evidence');
    }
    for (let round = 0; round < 50; round += 1)
      expect(await code(file.subarray(0, random.below(file.length)))).toBe('bad_evidence');
    expect(await code(Uint8Array.of(...file, 0))).toBe('bad_evidence');
    expect(await code(new Uint8Array(0))).toBe('bad_evidence');
    const other = seal(new SyntheticContract({ ...SMALL, shares: 32 }, seededRandom()).frames);
    expect(await code(file, other)).toBe('bad_evidence');
    expect(await code(file, file)).toBe('agreed');
  });

  it('refuses frames in another order, twice or missing', async () => {
    const { frames } = small();
    const random = seededRandom();
    const verdict = async (list: readonly Frame[]): Promise<string> =>
      auditFrames(list).then(
        (report) => report.verdict,
        (error: unknown) => codeOf(error),
      );
    for (let at = 0; at < frames.length; at += 1) {
      expect(await verdict(frames.toSpliced(at, 1)), `without frame ${at}`).not.toBe('agreed');
      const swap = random.below(frames.length);
      // A job may be named at any time before its shares.
      if (swap === at || [frames[at]!, frames[swap]!].some(({ kind }) => kind === 'job')) continue;
      const swapped = frames.with(at, frames[swap]!).with(swap, frames[at]!);
      expect(await verdict(swapped), `${at} and ${swap} swapped`).not.toBe('agreed');
    }
  });
});

/** True where a changed frame says the same in all that is signed (`EXPORT.md`, "What is not signed"). */
function saysTheSame(before: Frame, after: Uint8Array): boolean {
  if (before.kind === 'head') {
    const [ours, theirs] = [before.payload, after].map((payload) => {
      const { madeAtMs: _, program: __, ...signed } = parseRecord('head', { kind: 'head', payload });
      return JSON.stringify(signed);
    });
    return ours === theirs;
  }
  if (before.kind !== 'shares') return false;
  const [ours, theirs] = [before.payload, after].map((payload) => {
    const shares = unpackWireShares(payload.subarray(16)).map(({ extranonce1, extranonce2, ...rest }) => {
      const { workHashes } = shareTargetOf(rest.difficulty);
      return [
        rest.jobId,
        toHex(concat(extranonce1, extranonce2)),
        rest.ntime,
        rest.nonce,
        rest.version,
        `${workHashes}`,
      ];
    });
    return JSON.stringify([payload.slice(0, 8), shares]);
  });
  return ours === theirs;
}

async function isFound(frames: readonly Frame[]): Promise<boolean> {
  return auditFrames(frames).then(
    ({ verdict }) => verdict !== 'agreed',
    (error: unknown) => codeOf(error) === 'bad_evidence',
  );
}

async function meteredFrames(): Promise<readonly Frame[]> {
  const stand = new Stand({}, { hasChain: false });
  await stand.start();
  for (const total of [1, 2]) {
    await stand.spoil(1);
    await stand.work(4);
    await stand.signed(total);
  }
  await stand.stop();
  return framesOf(await exportOf(stand.world.minerLedger));
}

describe('any byte under a signed root', () => {
  it.each([
    ['of shares made up', async () => small().frames],
    [
      'of a contract that was worked',
      async () => framesOf((await exportsOf(async (world) => step(world, 1))).miner),
    ],
    ['of metering', meteredFrames],
  ])('%s is found when it is altered, or is one of the few that nobody signed', async (_name, frames) => {
    const all = await frames();
    const random = seededRandom();
    const unsigned = new Set<string>();
    const sizes = all.map(({ payload }) => payload.length);
    const alter = async (frame: number): Promise<void> => {
      const before = all[frame]!;
      const payload = Uint8Array.from(before.payload);
      const at = random.below(payload.length);
      const bits = 1 + random.below(255);
      payload[at]! ^= bits;
      if (await isFound(all.with(frame, { kind: before.kind, payload }))) return;
      unsigned.add(before.kind);
      expect(saysTheSame(before, payload), `${before.kind} ${frame}, byte ${at}, bits ${bits}`).toBe(true);
    };
    for (let frame = 0; frame < all.length; frame += 1) await alter(frame);
    for (let round = 0; round < 200; round += 1) {
      let at = random.below(sizes.reduce((sum, size) => sum + size, 0));
      const frame = sizes.findIndex((size) => {
        at -= size;
        return at < 0;
      });
      await alter(frame);
    }
    expect([...unsigned].filter((kind) => kind !== 'head' && kind !== 'shares')).toEqual([]);
  });
});
