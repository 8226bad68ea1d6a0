import * as childProcess from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { openPostgresLedger } from '../../../src/ledger/postgres/postgres-ledger.ts';
import { silentLogger } from '../../../src/log/logger.ts';
import { seededRandom } from '../../seed.ts';
import { wholeAppends } from './load.ts';
import { until } from './postgres-server.ts';
import { postgresStand } from './stand.ts';

const WRITER = new URL('./fixtures/writer.ts', import.meta.url).pathname;
const stand = postgresStand();
const random = seededRandom();

/** Runs a writer until it said so many lines; it is then killed. Returns what was acknowledged. */
async function killedAfter(lines: number, options: object): Promise<number[]> {
  const words = [WRITER, JSON.stringify(options)];
  const child = childProcess.spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    if (text.split('\n').length > lines) child.kill('SIGKILL');
  });
  await once(child, 'close');
  return text.split('\n').slice(0, -1).map(Number);
}

it('a killed program loses nothing that was acknowledged, at whatever moment, and the next one goes on', async () => {
  const options = stand.options();
  let highest = -1;
  for (let round = 0; round < 4; round += 1) {
    const acknowledged = await killedAfter(2 + random.below(200), options);
    expect(acknowledged.length).toBeGreaterThan(0);
    highest = Math.max(highest, ...acknowledged);
    // Its server process may still finish the commit that it was at.
    await until(async () => {
      try {
        await (await openPostgresLedger(options, { log: silentLogger })).close();
        return true;
      } catch (error) {
        expect((error as Error).message).toContain('ledger_locked');
        return false;
      }
    });
    expect(await wholeAppends(options)).toBeGreaterThan(highest);
  }
});
