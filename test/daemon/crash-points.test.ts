import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import {
  armCrashPoint,
  CRASH_ENV,
  type CrashPoint,
  crashPointNames,
} from '../../src/daemon/crash-points.ts';
import { type Logger, silentLogger } from '../../src/log/logger.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const random = { bytes: (size: number) => new Uint8Array(size) };
const arm = (
  point: string | undefined,
  network: 'regtest' | 'mainnet' = 'regtest',
  log: Logger = silentLogger,
): CrashPoint => {
  const env = point === undefined ? {} : { [CRASH_ENV]: point };
  return armCrashPoint('miner', network, env, { timers: systemTimers, log, random });
};
const codeFor = (...words: Parameters<typeof arm>): string => {
  try {
    arm(...words);
    return 'armed';
  } catch (error) {
    return codeOf(error);
  }
};

describe('a crash point', () => {
  it('that is not set leaves the ledger as it is', () => {
    const ledger = new MemoryLedger();
    expect(arm(undefined).ledger(ledger)).toBe(ledger);
    expect(arm('').ledger(ledger)).toBe(ledger);
    expect(arm(undefined, 'mainnet').ledger(ledger)).toBe(ledger);
  });

  it('is refused on any network with money, and unless it is one of the role', () => {
    expect(codeFor('miner.state.before', 'mainnet')).toBe('config_invalid');
    for (const wrong of ['maker.state.before', 'miner.state', 'nowhere', 'miner.state.before:0', ':']) {
      expect(codeFor(wrong), wrong).toBe('config_invalid');
    }
    for (const name of crashPointNames().filter((each) => each.startsWith('miner.'))) {
      expect(codeFor(name), name).toBe('armed');
      expect(codeFor(`${name}:3`), name).toBe('armed');
    }
  });

  it('is said aloud when it is armed', () => {
    const said: unknown[] = [];
    const log = { ...silentLogger, warn: (fields: object) => said.push(fields) };
    arm('miner.state.before:2', 'regtest', log);
    expect(said).toEqual([{ point: 'miner.state.before', count: 2 }]);
  });

  it('that is not reached changes nothing of what a ledger does', async () => {
    const inner = new MemoryLedger();
    const ledger = arm('miner.state.before').ledger(inner);
    await ledger.append([{ type: 'put', kind: 'channel', id: 'a', body: '{"status":"open"}' }]);
    await ledger.appendNow([{ type: 'put', kind: 'proposal', id: 'b', body: '2' }]);
    expect(await ledger.get('proposal', 'b')).toBe('2');
    expect(await ledger.list('channel')).toEqual([{ id: 'a', body: '{"status":"open"}' }]);
    expect(ledger.stats).toBe(inner.stats);
    await ledger.close();
  });

  it('has a name of its own', () => {
    expect(new Set(crashPointNames()).size).toBe(crashPointNames().length);
  });
});
