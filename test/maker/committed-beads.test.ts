import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { displayHash } from '../../src/bitcoin/header.ts';
import { targetOfCompact } from '../../src/bitcoin/target.ts';
import type { BlockStatus } from '../../src/chain/tip-tracker.ts';
import { CommittedBeadsBinding } from '../../src/maker/committed-beads.ts';
import { readMetadata } from '../../src/settlement/bead-rules.ts';
import type { Bead } from '../../src/upstream/bead.ts';
import { type JobRecord, jobRecordOf } from '../../src/work/evidence.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { addressOf } from '../upstream/metadata-samples.ts';
import { casesOf, type ShareCase } from './share-cases.ts';
import { honest, SpecWorld, THIEF_SCRIPT_HEX } from './spec-world.ts';
import { MAKER_SCRIPT_HEX, SHARE } from './world.ts';

const world = new SpecWorld();
const good = jobRecordOf(world.jobWith(honest()));
const weak = targetOfCompact(readMetadata(good.metadata!)!.weakTarget);

function stood() {
  const time = new VirtualTime();
  const { log, lines } = recorder();
  const beads = new Map<string, string>();
  const asked: string[] = [];
  let tell: ((bead: Bead) => void) | undefined;
  let isAway = false;
  const beadOf = (hash: string): Bead | undefined =>
    beads.has(hash) ? ({ hash, payoutAddress: beads.get(hash)! } as Bead) : undefined;
  const node = {
    getBead: async (hash: string) => {
      asked.push(hash);
      if (isAway) throw new CodedError('braidpool_unreachable');
      return beadOf(hash);
    },
    onBead: (listener: (bead: Bead) => void) => {
      tell = listener;
      return () => {
        tell = undefined;
      };
    },
  };
  const block: BlockStatus = { status: 'current', height: 9, bits: good.bits };
  const view = { standing: async () => block };
  const binding = new CommittedBeadsBinding(world.contractId, world.proposed, MAKER_SCRIPT_HEX, {
    ...{ node, view, log, clock: time.clock, timers: time.timers },
  });
  /** A share whose hash is so much, credited. */
  const credit = (job: JobRecord, ...hashes: readonly bigint[]): readonly string[] => {
    const cases = hashes.map((each): ShareCase => {
      const hash = Uint8Array.from(Buffer.from(each.toString(16).padStart(64, '0'), 'hex')).reverse();
      return { share: undefined as never, job, code: undefined, target: SHARE, hash };
    });
    binding.credited(casesOf(cases));
    return cases.map(({ hash }) => displayHash(hash!));
  };
  return {
    ...{ time, lines, beads, asked, binding, credit, block },
    told: (hash: string) => tell?.(beadOf(hash)!),
    isHeard: () => tell !== undefined,
    leave: () => {
      isAway = true;
    },
  };
}

const OURS = addressOf(MAKER_SCRIPT_HEX);

describe('beads of jobs that commit to whom they pay', () => {
  it('are expected of credited shares at their target, of good jobs alone', async () => {
    const { binding, credit, time, asked, beads } = stood();
    expect(binding.judgeJob(good)).toBe(undefined);
    const [at] = credit(good, weak, weak + 1n);
    expect(binding.beads).toMatchObject({ worth: 1, open: 1 });
    beads.set(at!, OURS);
    await time.advance(500);
    expect(asked).toEqual([at, at]);
    expect(binding.beads).toEqual({ worth: 1, paid: 1, missing: 0, open: 0, stolen: undefined });
    // A job that nobody judged, or that was refused, has no beads.
    const other = jobRecordOf(world.jobWith({ ...honest({ startTimestamp: 5 }), metadata: undefined }));
    expect(binding.judgeJob(other)).toBe('share_unbound');
    credit(other, 1n);
    expect(binding.beads.worth).toBe(1);
    binding.stop();
  });

  it('that pay another, are not there, or that nobody can be asked for are told as not paid', async () => {
    const { binding, credit, time, beads, leave } = stood();
    binding.judgeJob(good);
    const [stolen] = credit(good, 1n);
    beads.set(stolen!, addressOf(THIEF_SCRIPT_HEX));
    await time.advance(500);
    expect(binding.beads).toMatchObject({ worth: 1, paid: 0, missing: 1, open: 0 });
    credit(good, 2n);
    await time.advance(61_000);
    expect(binding.beads).toMatchObject({ worth: 2, missing: 2, open: 0 });
    leave();
    credit(good, 3n);
    await time.settle();
    expect(binding.beads).toMatchObject({ missing: 2, open: 1 });
    await time.advance(61_000);
    expect(binding.beads).toEqual({ worth: 3, paid: 0, missing: 3, open: 0, stolen: undefined });
    binding.stop();
  });

  it('are heard of by the subscription too, until the end', async () => {
    const { binding, credit, time, beads, told, isHeard } = stood();
    binding.judgeJob(good);
    const [one] = credit(good, 1n);
    await time.settle();
    expect(binding.beads).toMatchObject({ paid: 0, open: 1 });
    beads.set(one!, `${OURS}.worker`);
    told(one!);
    expect(binding.beads).toMatchObject({ paid: 1, open: 0 });
    binding.stop();
    expect(isHeard()).toBe(false);
  });

  it('are looked for so many at once; all are counted', async () => {
    const { binding, credit, leave } = stood();
    leave();
    binding.judgeJob(good);
    credit(good, ...Array.from({ length: 70 }, (_, at) => BigInt(at + 1)));
    expect(binding.beads).toMatchObject({ worth: 70, open: 64, missing: 0 });
    binding.stop();
  });

  it('are asked for no more after the end', async () => {
    const { binding, credit, time, asked } = stood();
    binding.judgeJob(good);
    credit(good, 1n);
    await time.settle();
    binding.stop();
    const before = asked.length;
    await time.advance(30_000);
    expect([before, asked.length]).toEqual([1, 1]);
  });
});

describe('a job', () => {
  it('that is refused for what it commits to is told of with the reason; a good one is not', () => {
    const { binding, lines } = stood();
    binding.judgeJob(good);
    expect(lines).toEqual([]);
    const bare = jobRecordOf(world.jobWith({ ...honest(), metadata: undefined }));
    binding.judgeJob(bare);
    expect(lines).toHaveLength(1);
    expect(JSON.stringify(lines[0])).toContain('a job is not paid');
    // A coinbase that cannot be read is bad, which its shares say.
    const cut = { ...good, coinb2: good.coinb2.subarray(0, 3) };
    expect(binding.judgeJob(cut)).toBe('share_bad');
    expect(lines).toHaveLength(1);
    binding.stop();
  });

  it('has the bits of the own chain, or is not credited now', async () => {
    const { binding, block } = stood();
    expect(await binding.judgeNow(good)).toBe(undefined);
    Object.assign(block, { bits: good.bits - 0x10000 });
    expect(await binding.judgeNow(good)).toBe('share_bad');
    binding.stop();
  });
});
