import { describe, expect, it } from 'vitest';
import { targetOfCompact, workOfTarget } from '../../src/bitcoin/target.ts';
import {
  addLuck,
  loadLuck,
  luckEntry,
  luckOfShares,
  NO_CONTRACT_LUCK,
} from '../../src/maker/contract-luck.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { type JobRecord, jobRecordOf } from '../../src/work/evidence.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { sampleJob } from '../work/samples.ts';
import { casesOf, type ShareCase } from './share-cases.ts';
import { until, World } from './world.ts';

const EASY = shareTargetOf(1 / 1024);

function caseOf(job: JobRecord, hash: bigint): ShareCase {
  const bytes = Uint8Array.from({ length: 32 }, (_, index) => Number((hash >> BigInt(8 * index)) & 0xffn));
  return { share: {} as never, job, code: undefined, target: EASY, hash: bytes };
}

describe("the luck of a contract's shares", () => {
  const job = jobRecordOf(sampleJob(1));
  const block = targetOfCompact(job.bits);

  it('counts blocks by the bits of the job, at the target and not above it', () => {
    const shares = [block + 1n, block, 0n].map((hash) => caseOf(job, hash));
    const luck = luckOfShares(casesOf(shares), () => undefined);
    const each = (EASY.workHashes * 10n ** 18n) / workOfTarget(block);
    expect(luck).toEqual({
      ...{ version: 1, block: { solutions: 2, expectedAtto: 3n * each } },
      upstream: { solutions: 0, expectedAtto: 0n },
    });
  });

  it('counts what the own upstream asks for, where the job is its', () => {
    const other = jobRecordOf(sampleJob(2));
    const target = block * 64n;
    const shares = [caseOf(job, target), caseOf(job, target + 1n), caseOf(other, 0n)];
    const { upstream } = luckOfShares(casesOf(shares), ({ id }) => (id === job.id ? target : undefined));
    const each = (EASY.workHashes * 10n ** 18n) / workOfTarget(target);
    expect(upstream).toEqual({ solutions: 1, expectedAtto: 2n * each });
  });

  it('expects one solution of a share that is no easier than it, and none of bits that are no target', () => {
    const easyBits = { ...job, bits: 0x207fffff };
    expect(luckOfShares(casesOf([caseOf(easyBits, 0n)]), () => undefined).block).toEqual({
      ...{ solutions: 1, expectedAtto: 10n ** 18n },
    });
    expect(luckOfShares(casesOf([caseOf({ ...job, bits: 0 }, 0n)]), () => undefined)).toEqual(
      NO_CONTRACT_LUCK,
    );
  });

  it('is kept in the ledger', async () => {
    const ledger = new MemoryLedger();
    expect(await loadLuck(ledger, 'ab')).toEqual(NO_CONTRACT_LUCK);
    const luck = luckOfShares(casesOf([caseOf(job, 0n)]), () => block);
    const twice = addLuck(luck, luck);
    expect(twice.block).toEqual({ solutions: 2, expectedAtto: 2n * luck.block.expectedAtto });
    await ledger.append([luckEntry('ab', twice)]);
    expect(await loadLuck(ledger, 'ab')).toEqual(twice);
  });
});

describe('the luck of a contract at a maker', () => {
  it('is that of its credited shares, and goes on after a restart', async () => {
    const world = new World();
    await world.open();
    await world.work(5);
    await until('credited', () => world.maker.status[0]!.sharesCredited === 5);
    const before = world.maker.status[0]!;
    expect(before.luck.block.expectedAtto).toBeGreaterThan(0n);
    await world.restartMaker();
    expect(world.maker.status[0]!.luck).toEqual(before.luck);
    await world.stop();
  });
});
