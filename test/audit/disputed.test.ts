import { describe, expect, it } from 'vitest';
import type { DisputedFrame } from '../../src/audit/disputed-audit.ts';
import type { Frame } from '../../src/audit/frames.ts';
import { parseRecord, printRecord } from '../../src/audit/records.ts';
import { type StateCommitment, signCommitment } from '../../src/channel/commitment.ts';
import { signState } from '../../src/channel/states.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { commitmentOf } from '../../src/settlement/commitments.ts';
import { disputedEntry } from '../../src/settlement/disputed-commitment.ts';
import { COMMITMENT_KIND, stateDocumentId } from '../../src/settlement/records.ts';
import { makerSigner } from '../channel/fixtures.ts';
import { World } from '../maker/world.ts';
import { seededRandom } from '../seed.ts';
import { audit, exportOf, framesOf, seal } from './exports.ts';
import { SyntheticContract, type SyntheticOptions } from './synthetic.ts';

const SMALL = { shares: 48, sharesPerState: 16, sharesPerJob: 12, branches: 2 };
const LAST = 3;
const WHY = 'the own evidence of state 3 has other roots';

type Change = (content: StateCommitment) => Partial<StateCommitment>;

/** A contract whose last commitment the miner did not sign: what the maker signed for it, and the file. */
function disputed(change: Change = () => ({}), options: Partial<SyntheticOptions> = {}): Frame[] {
  const { frames, params } = new SyntheticContract({ ...SMALL, ...options }, seededRandom());
  return frames.map((frame): Frame => {
    if (frame.kind === 'end') {
      const counts = parseRecord('end', frame);
      return {
        kind: 'end',
        payload: printRecord('end', { ...counts, commitments: counts.commitments - 1 }),
      };
    }
    if (frame.kind === 'state') {
      const state = parseRecord('state', frame);
      const workHashes = change({ ...state } as never).workHashes ?? state.workHashes;
      if (state.n !== LAST) return frame;
      return {
        kind: 'state',
        payload: printRecord('state', signState(params, LAST, workHashes, makerSigner)),
      };
    }
    if (frame.kind !== 'commitment') return frame;
    const record = parseRecord('commitment', frame);
    if (record.n !== LAST) return frame;
    const own = commitmentOf(record);
    const content = { ...own, ...change(own) };
    const { baseN, refused, logSeq, faults, weightsHead, eventsHead } = record;
    const offer = {
      ...{ baseN, refused, nextSeq: content.nextSeq, shareRoot: content.shareRoot },
      ...{ jobSetRoot: content.jobSetRoot, faultLogHead: content.faultLogHead },
      signature: signCommitment(params, content, makerSigner),
      ...(faults === undefined
        ? {}
        : { faults: faults.map(({ code, first, count, evidence }) => ({ code, first, count, evidence })) }),
      ...(weightsHead === undefined ? {} : { weightsHead }),
      ...(eventsHead === undefined ? {} : { eventsHead }),
    };
    const found: DisputedFrame = {
      version: 1,
      n: LAST,
      workHashes: content.workHashes,
      why: WHY,
      offer,
      logSeq,
    };
    return { kind: 'disputed', payload: printRecord('disputed', found) };
  });
}

function changed(
  frames: readonly Frame[],
  change: (found: DisputedFrame) => Partial<DisputedFrame>,
): Frame[] {
  return frames.map((frame) => {
    if (frame.kind !== 'disputed') return frame;
    const found = parseRecord('disputed', frame);
    return { kind: 'disputed', payload: printRecord('disputed', { ...found, ...change(found) }) };
  });
}

describe('a commitment that the maker signed and the miner disputes', () => {
  it('convicts the maker where it pays less than the shares under its own root are worth', async () => {
    const report = await audit(seal(disputed(({ workHashes }) => ({ workHashes: workHashes - 1n }))));
    expect(report).toMatchObject({ verdict: 'maker', finding: { code: 'bad_amount', n: LAST } });
  });

  it.each([[false], [true]])(
    'convicts it of a refusal that its share refutes; weighed: %s',
    async (isWeighed) => {
      const refused = new Map([[40, { code: 'share_low' }]]);
      const report = await audit(seal(disputed(undefined, { refused, isWeighed })));
      expect(report).toMatchObject({
        verdict: 'maker',
        finding: { code: 'bad_commitment', n: LAST, seq: 40 },
      });
    },
  );

  it.each<readonly [string, Change]>([
    ['shares', () => ({ shareRoot: new Uint8Array(32).fill(1) })],
    ['jobs', () => ({ jobSetRoot: new Uint8Array(32).fill(1) })],
    ['refusals', () => ({ faultLogHead: new Uint8Array(32).fill(1) })],
  ])('leaves it undecided for other %s than the file has, which nobody signed', async (what, change) => {
    const report = await audit(seal(disputed(change)));
    expect(report).toMatchObject({ verdict: 'undecided', finding: { code: 'bad_commitment', n: LAST } });
    expect(report.finding!.words).toContain(`for other ${what} than those of the file`);
    expect(report.finding!.words).toContain(WHY);
  });

  it('leaves it undecided where the file is just what the maker signed', async () => {
    const report = await audit(seal(disputed()));
    expect(report).toMatchObject({ verdict: 'undecided', finding: { n: LAST } });
    expect(report.finding!.words).toContain('for what the file has');
  });

  it('convicts the maker of shares that it judged before, and of another content for its state', async () => {
    const back = await audit(seal(disputed(() => ({ nextSeq: 20 }))));
    expect(back).toMatchObject({ verdict: 'maker', finding: { code: 'not_monotone', n: LAST } });
    const { frames } = new SyntheticContract(SMALL, seededRandom());
    const [frame] = disputed(() => ({ shareRoot: new Uint8Array(32) })).filter(
      ({ kind }) => kind === 'disputed',
    );
    const both = [...frames.slice(0, -1), frame!, frames.at(-1)!];
    expect(await audit(seal(both))).toMatchObject({
      verdict: 'maker',
      finding: { code: 'equivocation', n: LAST },
    });
  });

  it("is the miner's word alone where the maker did not sign it, or the file lacks its shares", async () => {
    const forged = changed(disputed(), ({ offer }) => ({
      offer: { ...offer, signature: '11'.repeat(64) },
    }));
    expect((await audit(seal(forged))).verdict).toBe('file');
    const away = changed(disputed(), () => ({ logSeq: 32 }));
    const report = await audit(seal(away));
    expect(report).toMatchObject({ verdict: 'undecided' });
    expect(report.finding!.words).toContain('does not have in its place');
  });
});

/** A ledger without a commitment, as where the miner did not sign it. */
function without(ledger: Ledger, id: string): Ledger {
  return new Proxy(ledger, {
    get: (target, name) => {
      if (name === 'get')
        return async (kind: string, wanted: string) =>
          kind === COMMITMENT_KIND && wanted === id ? undefined : target.get(kind, wanted);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe('an export', () => {
  it('has the commitment that is disputed, which convicts nobody where both signed the same', async () => {
    const world = new World();
    await world.open();
    await world.work(8);
    await world.rest();
    const record = (await framesOf(await exportOf(world.minerStore))).findLast(
      ({ kind }) => kind === 'commitment',
    )!;
    const { n, workHashes, makerSignature: signature, faults, ...rest } = parseRecord('commitment', record);
    const { shareRoot } = commitmentOf(parseRecord('commitment', record));
    const offer = {
      ...{ baseN: rest.baseN, nextSeq: rest.nextSeq, refused: rest.refused, shareRoot, signature },
      ...{ jobSetRoot: rest.jobSetRoot, faultLogHead: rest.faultLogHead },
      ...(faults === undefined ? {} : { faults: [] }),
      ...(rest.weightsHead === undefined ? {} : { weightsHead: rest.weightsHead }),
      ...(rest.eventsHead === undefined ? {} : { eventsHead: rest.eventsHead }),
    };
    await world.minerStore.append([
      disputedEntry(world.contractId, { n, workHashes, why: 'a test', offer }),
    ]);
    const file = await exportOf(world.minerStore);
    const unsigned = await exportOf(without(world.minerStore, stateDocumentId(world.contractId, n)));
    await world.stop();
    const report = await audit(unsigned);
    expect(report).toMatchObject({ verdict: 'undecided', finding: { n } });
    expect(report.finding!.words).toContain('for what the file has');
    expect((await framesOf(file)).filter(({ kind }) => kind === 'disputed')).toHaveLength(1);
    expect((await audit(file)).verdict).toBe('agreed');
  });
});
