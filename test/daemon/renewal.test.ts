import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Renewal, takesWrites } from '../../src/daemon/renewal.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { VirtualTime } from '../base/virtual-time.ts';

const directory = mkdtempSync(join(tmpdir(), 'renewal-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function watched(fault: () => string | undefined, isMended: () => boolean) {
  const time = new VirtualTime();
  let probes = 0;
  const probe = async (): Promise<boolean> => {
    probes += 1;
    return isMended();
  };
  const renewal = new Renewal(directory, { fault, timers: time.timers, log: silentLogger, probe });
  let isDue = false;
  void renewal.due.then(() => {
    isDue = true;
  });
  return { time, renewal, probes: () => probes, isDue: () => isDue };
}

it('is due once the disk takes writes again, and the disk is asked only while there is a fault', async () => {
  let fault: string | undefined;
  let isMended = true;
  const { time, probes, isDue } = watched(
    () => fault,
    () => isMended,
  );
  await time.advance(60_000);
  expect(probes()).toBe(0);
  fault = 'ledger_io';
  isMended = false;
  await time.advance(60_000);
  expect(probes()).toBe(12);
  expect(isDue()).toBe(false);
  isMended = true;
  await time.advance(5_000);
  expect(isDue()).toBe(true);
  await time.advance(60_000);
  expect(probes()).toBe(13);
});

it('is never due after the stop', async () => {
  const { time, renewal, isDue } = watched(
    () => 'ledger_io',
    () => true,
  );
  renewal.stop();
  await time.advance(60_000);
  expect(isDue()).toBe(false);
});

it('asks the disk by some megabytes that it leaves nothing of', async () => {
  expect(await takesWrites(directory)).toBe(true);
  expect(readdirSync(directory)).toEqual([]);
  expect(await takesWrites(join(directory, 'gone'))).toBe(false);
});
