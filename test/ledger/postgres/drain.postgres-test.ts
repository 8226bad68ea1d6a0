import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import { FleetReader } from '../../../src/ledger/postgres/fleet-reader.ts';
import { verifyPostgresFleet } from '../../../src/ledger/postgres/verify-fleet.ts';
import { STREAM_KIND } from '../../../src/work/evidence.ts';
import { parseStreamTotal } from '../../../src/work/meters.ts';
import { until } from '../../e2e/evidence.ts';
import { type FleetProxy, FleetStand } from './fleet-stand.ts';
import { OWNER } from './postgres-server.ts';
import { DATABASE } from './primary-and-standby.ts';
import { postgresStand } from './stand.ts';

const MAIN = new URL('../../../src/main.ts', import.meta.url).pathname;
const LEASE_MS = 2_000;
const NAMES = ['proxy-a', 'proxy-b', 'proxy-c'] as const;

const stand = postgresStand();
const fleet = new FleetStand();
afterAll(() => fleet.stop());

type Row = {
  readonly instance: string;
  readonly state: string;
  readonly sessions: number;
  readonly extranonce_range: number | null;
  readonly leases: readonly { readonly resource: string }[];
  readonly slices: readonly { readonly name: string }[];
  readonly if_dead: readonly {
    readonly takers: readonly string[];
    readonly taken_within_ms: number | null;
  }[];
};

/** A command about the fleet, asked of one daemon: its answer. */
async function command({ configFile }: FleetProxy, ...words: string[]): Promise<Record<string, unknown>> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...[MAIN, 'fleet', ...words, '--config', configFile, '--json'],
  ]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** The same, once those that it is about tell of themselves: on a slow machine they may be late. */
async function taken(proxy: FleetProxy, ...words: string[]): Promise<Record<string, unknown>> {
  return await until(words.join(' '), () => command(proxy, ...words).catch(() => undefined));
}

async function fleetRows(proxy: FleetProxy): Promise<readonly Row[]> {
  const { instances } = await pageOf(proxy, '/fleet');
  return instances as readonly Row[];
}

async function pageOf({ metricsUrl }: FleetProxy, path: string): Promise<Record<string, unknown>> {
  return (await (await fetch(`${metricsUrl}/api/v1${path}`)).json()) as Record<string, unknown>;
}

/** The one that has the channel, where it is known. */
async function ownerNow(): Promise<FleetProxy | undefined> {
  for (const each of fleet.proxies) {
    const status = await fleet.statusOf(each);
    if (status?.shared_contracts[0]?.is_owner === true) return each;
  }
  return undefined;
}

async function doneHashes(contractId: string): Promise<bigint> {
  const reader = await FleetReader.open({ ...stand.options('reader'), instance: NAMES[0] });
  const all = await reader.gather(
    { kind: 'none', stream: '' },
    [{ kind: STREAM_KIND, id: contractId }],
    new Map(),
    1,
  );
  await reader.close();
  return all.reduce(
    (sum, { bodies: [body] }) =>
      body === undefined ? sum : sum + parseStreamTotal(contractId, body).workHashes,
    0n,
  );
}

it('the owner is drained under load, its channel moves, and not a share is lost', async () => {
  const places = [stand.primary, stand.standby].map(({ port }) => `127.0.0.1:${port}`).join(',');
  await fleet.start(NAMES, () => `postgres://${OWNER}@${places}/${DATABASE}`, `${LEASE_MS / 1000}s`);
  const asics = await fleet.asics(2, 60_000);
  await fleet.goesOn('the start', 3);
  const { contract_id: contractId } = (await fleet.bought())!;
  const own = await until('all tell of themselves, and one has the channel', async () => {
    const rows = await fleetRows(fleet.proxies[0]!);
    const areHere = rows.length === NAMES.length && rows.every(({ state }) => state === 'here');
    const ranges = new Set(rows.flatMap(({ extranonce_range: range }) => range ?? []));
    return areHere && ranges.size === NAMES.length
      ? rows.find(({ leases, slices }) => leases.length === 1 && slices.length === 1)
      : undefined;
  });
  const drained = fleet.proxies.find(({ name }) => name === own.instance)!;
  const others = fleet.proxies.filter((each) => each !== drained);
  expect(own.if_dead).toMatchObject([{ takers: others.map(({ name }) => name) }]);
  expect(own.if_dead[0]!.taken_within_ms).toBeLessThanOrEqual(LEASE_MS + LEASE_MS / 5);

  // What SCALE.md reckons with: of the ledger, the contract's lease and look, and the fleet, two each.
  await until('it has eight connections', async () => {
    const [row] = await stand.sql(
      `SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'sharestream ${drained.name}'`,
    );
    return Number(row?.['n']) === 8 ? true : undefined;
  });

  // Whoever is asked: it is not the one that is drained.
  const drain = ['drain', drained.name] as const;
  expect(await taken(others[0]!, ...drain, '--dry-run')).toMatchObject({ drains: false });
  expect(await taken(others[0]!, ...drain)).toEqual({ instance: drained.name, drains: true });
  await until('its miners and its channel are with the others', async () => {
    const status = await fleet.statusOf(drained);
    const owner = await ownerNow();
    return status?.sessions === 0 && owner !== undefined && owner !== drained ? true : undefined;
  });
  await fleet.goesOn('the drain', 2);
  await until('it is shown as drained', async () => {
    const row = (await fleetRows(others[0]!)).find(({ instance }) => instance === drained.name);
    return row?.state === 'drained' && row.sessions === 0 && row.leases.length === 0 ? true : undefined;
  });
  const { items } = await pageOf(others[0]!, '/writes');
  expect(items).toContainEqual(
    expect.objectContaining({ operation: 'fleet/drain', role: 'money', outcome: 'done' }),
  );

  const from = await until('one has the channel', ownerNow);
  const to = others.find((each) => each !== from)!;
  const [{ name }] = own.slices as readonly [{ readonly name: string }];
  await expect(command(to, 'move', name, drained.name)).rejects.toThrow(/wrong_status/);
  expect(await taken(to, 'move', name, to.name)).toMatchObject({ to: to.name });
  await until('it has moved', async () => ((await ownerNow()) === to ? true : undefined));
  await fleet.goesOn('the move', 2);

  expect(await drained.daemon.stop()).toBe(0);
  await drained.daemon.start();
  await fleet.goesOn('the drained one was started anew', 3);

  await asics.stop();
  await until('both sides have the same account, to the hash', async () => {
    const done = await doneHashes(contractId);
    const verified = BigInt((await fleet.bought())?.verified_work_hashes ?? 0);
    return done > 0n && verified === done ? true : undefined;
  });
  // Each share that a machine was told to be taken is in the ledger, and no machine waited for an answer.
  const reports = asics.reports();
  const sold = await doneHashes(contractId);
  const told = reports.reduce((sum, { workHashes }) => sum + workHashes, 0n);
  expect(told <= sold + (await ownHashes()), `${told} of ${sold}`).toBe(true);
  for (const { daemon } of fleet.proxies) expect(await daemon.stop()).toBe(0);
  const { chains, problem } = await verifyPostgresFleet({ ...stand.options('reader'), instance: NAMES[0] });
  expect([problem, chains.every(({ verification }) => verification.ok)]).toEqual([undefined, true]);
}, 300_000);

/** Work of the miner's own account, in all chains. */
async function ownHashes(): Promise<bigint> {
  let sum = 0n;
  for (const each of fleet.proxies)
    for (const { id, work_hashes: work } of (await fleet.statusOf(each))?.streams ?? [])
      if (!/^[0-9a-f]{64}$/.test(id)) sum += BigInt(work);
  return sum;
}
