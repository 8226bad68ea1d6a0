import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { CodedError } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { replaceFileAsync } from '../../src/channel/durable-file.ts';
import { parseLadder } from '../../src/channel/ladder-file.ts';
import { signState } from '../../src/channel/states.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { type LadderRequest, LadderWriter, ladderPath } from '../../src/settlement/ladder-writer.ts';
import { EH, makeParams, makerSigner, minerSigner, strangerSigner } from '../channel/fixtures.ts';

const params = makeParams();
const margins = { askBlocks: 288, broadcastBlocks: 144, urgentBlocks: 36 };
const requestOf = (n: number): LadderRequest => ({
  params,
  state: signState(params, n, BigInt(n) * EH, makerSigner),
  margins,
  signer: minerSigner,
});

const directory = mkdtempSync(join(tmpdir(), 'ladder-'));
afterEach(() => rmSync(directory, { recursive: true, force: true }));
const deps = { timers: systemTimers, clock: systemClock, log: silentLogger };
const path = ladderPath(directory, params.contractId);
const nOnDisk = (): number => parseLadder(readFileSync(path, 'utf8')).n;

it('keeps one file of the newest state, readable by its owner alone, whatever came before', async () => {
  const writer = new LadderWriter(directory, deps);
  writer.write(requestOf(1));
  await writer.idle();
  expect(nOnDisk()).toBe(1);
  for (const n of [2, 3, 4, 5]) writer.write(requestOf(n));
  writer.write(requestOf(3));
  await writer.idle();
  expect(nOnDisk()).toBe(5);
  expect(readdirSync(directory)).toEqual([`${params.contractId}.ladder.json`]);
  expect(writer.stats.failed).toBe(0);
  expect(writer.stats.written).toBeLessThan(5);

  // A writer that died in the middle leaves the file as it was, and the next writes over its rest.
  writeFileSync(`${path}.tmp`, readFileSync(path, 'utf8').slice(0, 1000));
  expect(nOnDisk()).toBe(5);
  writer.write(requestOf(6));
  await writer.idle();
  expect(nOnDisk()).toBe(6);
});

it('counts what it cannot write, waits for nobody, and tries again with the next state', async () => {
  let fails = true;
  const writer = new LadderWriter(directory, {
    ...deps,
    files: {
      replace: async (to, text) => {
        if (fails) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
        mkdirSync(directory, { recursive: true });
        await replaceFileAsync(to, text);
      },
    },
  });
  writer.write(requestOf(1));
  await writer.idle();
  expect(writer.stats).toEqual({ written: 0, failed: 1 });
  fails = false;
  writer.write({ ...requestOf(2), signer: strangerSigner });
  await writer.idle();
  expect(writer.stats).toEqual({ written: 0, failed: 2 });
  writer.write(requestOf(2));
  await writer.idle();
  expect(writer.stats).toEqual({ written: 1, failed: 2 });
  expect(nOnDisk()).toBe(2);
});

it('a directory that cannot be made costs the file, and no more', async () => {
  writeFileSync(`${directory}.file`, '');
  const writer = new LadderWriter(`${directory}.file/within`, deps);
  writer.write(requestOf(1));
  await writer.idle();
  expect(writer.stats).toEqual({ written: 0, failed: 1 });
  rmSync(`${directory}.file`);
});

it('leaves the file of a newer state alone, from before a restore, and writes over it with that state', async () => {
  const before = new LadderWriter(directory, deps);
  before.write(requestOf(7));
  await before.idle();
  const restored = new LadderWriter(directory, deps);
  for (const n of [5, 6]) restored.write(requestOf(n));
  await restored.idle();
  expect(nOnDisk()).toBe(7);
  expect(restored.stats).toEqual({ written: 0, failed: 0 });
  restored.write(requestOf(7));
  await restored.idle();
  expect(restored.stats).toEqual({ written: 1, failed: 0 });
  // What is no ladder is in nobody's way.
  writeFileSync(path, 'torn');
  const other = new LadderWriter(directory, deps);
  other.write(requestOf(1));
  await other.idle();
  expect(nOnDisk()).toBe(1);
});

it('removes the file of a channel that is over, whatever waits, and writes none any more', async () => {
  const writer = new LadderWriter(directory, deps);
  writer.write(requestOf(1));
  await writer.idle();
  writer.write(requestOf(2));
  writer.remove(params.contractId);
  writer.write(requestOf(3));
  await writer.idle();
  expect(readdirSync(directory)).toEqual([]);
  writer.remove(params.contractId);
  await writer.idle();
  expect(writer.stats.failed).toBe(0);
});

it('writes the file of a refund once, and again where that failed, but not where the key is elsewhere', async () => {
  let failure: Error | undefined;
  let writes = 0;
  const files = {
    replace: async (to: string, of: string) => {
      writes += 1;
      if (failure !== undefined) throw failure;
      mkdirSync(directory, { recursive: true });
      await replaceFileAsync(to, of);
    },
  };
  const warned: unknown[] = [];
  const log = { ...silentLogger, warn: (fields: object) => void warned.push(fields) };
  const writer = new LadderWriter(directory, { ...deps, files, log });
  const write = async (signer = makerSigner): Promise<void> => {
    writer.writeRefund(params, signer);
    await writer.idle();
  };
  failure = Object.assign(new Error('no space'), { code: 'ENOSPC' });
  await write();
  expect(writer.stats).toEqual({ written: 0, failed: 1 });
  expect(warned).toEqual([{ code: 'ENOSPC', detail: 'no space', contract: params.contractId }]);
  failure = undefined;
  await write();
  await write();
  expect([writer.stats, writes]).toEqual([{ written: 1, failed: 1 }, 2]);
  expect(parseLadder(readFileSync(path, 'utf8'))).toMatchObject({ isRefund: true, n: 0 });

  const cold = new LadderWriter(directory, { ...deps, files, log });
  const coldSigner = {
    publicKey: makerSigner.publicKey.bind(makerSigner),
    signEcdsa: () => {
      throw new CodedError('cold_key', 'elsewhere');
    },
  } as never;
  for (let times = 0; times < 2; times += 1) {
    cold.writeRefund(params, coldSigner);
    await cold.idle();
  }
  expect(cold.stats).toEqual({ written: 0, failed: 1 });
  expect(warned.at(-1)).toMatchObject({ code: 'cold_key' });
});

it('says that it cannot remove a file, and leaves the others alone', async () => {
  const warned: unknown[] = [];
  const log = { ...silentLogger, warn: (fields: object, text: string) => void warned.push([fields, text]) };
  const remove = (): Promise<never> => Promise.reject(Object.assign(new Error('x'), { code: 'EIO' }));
  const writer = new LadderWriter(directory, { ...deps, log, files: { remove } });
  writer.remove(params.contractId);
  await writer.idle();
  expect(warned).toEqual([[{ code: 'EIO', contract: params.contractId }, 'ladder file not removed']]);
});

it('writes no older state over a newer one, also after one newer still was lost', async () => {
  let fails = false;
  const replace = async (to: string, of: string): Promise<void> => {
    if (fails) throw new Error('no space');
    mkdirSync(directory, { recursive: true });
    await replaceFileAsync(to, of);
  };
  const writer = new LadderWriter(directory, { ...deps, files: { replace } });
  writer.write(requestOf(5));
  await writer.idle();
  fails = true;
  writer.write(requestOf(6));
  await writer.idle();
  fails = false;
  writer.write(requestOf(3));
  await writer.idle();
  expect([nOnDisk(), writer.stats]).toEqual([5, { written: 1, failed: 1 }]);
});
