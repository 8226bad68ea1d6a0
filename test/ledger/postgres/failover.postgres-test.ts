import { afterEach, describe, expect, it } from 'vitest';
import type { CodedError } from '../../../src/base/errors.ts';
import type { Ledger } from '../../../src/ledger/ledger.ts';
import type { PostgresOptions } from '../../../src/ledger/postgres/address.ts';
import { openPostgresLedger } from '../../../src/ledger/postgres/postgres-ledger.ts';
import { silentLogger } from '../../../src/log/logger.ts';
import { seededRandom } from '../../seed.ts';
import { codeOfRejection, put } from '../suite.ts';
import { Load, wholeAppends } from './load.ts';
import { until } from './postgres-server.ts';
import { postgresStand } from './stand.ts';

const stand = postgresStand();
const random = seededRandom();

let ledger: Ledger | undefined;
const failures: CodedError[] = [];
afterEach(async () => {
  await ledger?.close();
  ledger = undefined;
  failures.length = 0;
});

async function opened(options: PostgresOptions): Promise<Ledger> {
  const onFailure = (error: CodedError): void => void failures.push(error);
  ledger = await openPostgresLedger({ ...options, groupCommitMs: 1 }, { log: silentLogger, onFailure });
  return ledger;
}

/** Ends the load and its ledger; all that was acknowledged is there, and nothing twice. */
async function expectAll(load: Load, options: PostgresOptions): Promise<void> {
  await load.stop();
  expect([load.refused, failures]).toEqual([[], []]);
  await ledger!.close();
  expect(await wholeAppends(options)).toBe(load.acknowledged.length);
}

/** A commit of a ledger waits for the standby. Returns the process id of its backend. */
async function waitingForStandby(otherThan?: number): Promise<number> {
  let pid: unknown;
  await until(async () => {
    const [row] = await stand.sql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' LIMIT 1");
    pid = row?.['pid'];
    return row !== undefined && pid !== otherThan;
  });
  return Number(pid);
}

describe('under load', () => {
  it('connections that the server ends, at whatever moment, lose nothing and write nothing twice', async () => {
    const options = stand.options();
    const load = new Load(await opened(options));
    for (let round = 0; round < 12; round += 1) {
      await load.more(1 + random.below(60));
      await stand.sql(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sharestream ${options.instance}'`,
      );
    }
    await load.more(50);
    await expectAll(load, options);
  });

  it('a standby that is killed holds everything up, and nothing is lost when it is back', async () => {
    const options = stand.options();
    const load = new Load(await opened(options));
    await load.more(100);
    await stand.standby.kill();
    await waitingForStandby();
    const { length } = load.acknowledged;
    // Reads go on.
    for (let read = 0; read < 20; read += 1) expect(await ledger!.get('job', '00000000')).toBe('job 0');
    expect(load.acknowledged.length).toBe(length);
    await stand.standby.start();
    await load.more(100);
    await expectAll(load, options);
  });

  it('a primary that is killed and started again has all that was acknowledged', async () => {
    const options = stand.options();
    const load = new Load(await opened(options));
    for (let round = 0; round < 3; round += 1) {
      await load.more(20 + random.below(100));
      await stand.primary.kill();
      await stand.primary.start();
      await load.more(20);
    }
    await expectAll(load, options);
  });

  it('the standby takes over from a primary that is killed', async () => {
    const options = stand.options();
    const load = new Load(await opened(options));
    await load.more(50 + random.below(100));
    await stand.primary.kill();
    await stand.failOver();
    // Nothing is acknowledged by one server alone.
    await waitingForStandby();
    const { length } = load.acknowledged;
    await stand.addStandby();
    expect(load.acknowledged.length).toBeGreaterThanOrEqual(length);
    await load.more(100);
    await expectAll(load, options);
  });
});

describe('a commit that waits for the standby', () => {
  it('is not acknowledged when its wait is cancelled, though the server says that it is committed', async () => {
    const options = stand.options();
    const open = await opened(options);
    await open.append([put('a', '1')]);
    await stand.standby.pause();
    let isAcknowledged = false;
    const written = open.append([put('a', '2')]).then(() => {
      isAcknowledged = true;
    });
    const pid = await waitingForStandby();
    await stand.sql(`SELECT pg_cancel_backend(${pid})`);
    // The next connection waits in its place.
    await waitingForStandby(pid);
    expect(isAcknowledged).toBe(false);
    await stand.standby.resume();
    await stand.followed();
    await written;
    expect(await open.get('stream', 'a')).toBe('2');
    expect(failures).toEqual([]);
  });
});

describe('a primary that stands still', () => {
  it('is left for the one that took over, and acknowledges nothing when it wakes up', async () => {
    const options = stand.options();
    const open = await opened(options);
    await open.append([put('a', '1')]);
    const old = stand.primary;
    await old.pause();
    const written = open.append([put('a', '2')]);
    await stand.failOver();
    await stand.addStandby();
    await written;
    await old.resume();
    await open.append([put('a', '3')]);
    expect(await open.get('stream', 'a')).toBe('3');
    await old.kill();
    expect(failures).toEqual([]);
  });
});

describe('a server that became the primary without acknowledged rows', () => {
  it('is found out, and fails the ledger', async () => {
    const options = stand.options();
    const open = await opened(options);
    await open.append([put('a', '1')]);
    await stand.standby.kill();
    // Somebody takes the standby out of what commits wait for, and forgets it.
    await stand.primary.set({ synchronous_standby_names: "''" });
    await open.append([put('a', '2')]);
    await stand.primary.kill();
    await stand.standby.start();
    await stand.failOver();
    expect(await codeOfRejection(open.append([put('a', '3')]))).toBe('ledger_io');
    expect(failures.map(({ code }) => code)).toEqual(['ledger_corrupt']);
  });
});
