import { afterAll, beforeAll, expect, it } from 'vitest';
import { sleep } from '../../../src/base/clock.ts';
import { systemTimers } from '../../../src/base/system-timers.ts';
import { parseMember } from '../../../src/fleet/evidence-order.ts';
import type { PostgresOptions } from '../../../src/ledger/postgres/address.ts';
import { FleetReader } from '../../../src/ledger/postgres/fleet-reader.ts';
import { verifyPostgresFleet } from '../../../src/ledger/postgres/verify-fleet.ts';
import {
  CHANNEL_KIND,
  channelCodec,
  DELIVERY_KIND,
  deliveryCodec,
  parseBody,
} from '../../../src/settlement/records.ts';
import { STREAM_KIND } from '../../../src/work/evidence.ts';
import { parseStreamTotal } from '../../../src/work/meters.ts';
import { Switchboard } from '../../base/switchboard.ts';
import { until } from '../../e2e/evidence.ts';
import { type FleetProxy, FleetStand, MAX_UNPAID_HASHES, signal } from './fleet-stand.ts';
import { OWNER } from './postgres-server.ts';
import { DATABASE } from './primary-and-standby.ts';
import { postgresStand } from './stand.ts';

/** How long things go wrong; ten minutes by hand: FLEET_SECONDS=600. */
const SECONDS = Number(process.env['FLEET_SECONDS'] ?? 45);
const LEASE_MS = 2_000;
const NAMES = ['proxy-a', 'proxy-b', 'proxy-c'] as const;

const stand = postgresStand();
const fleet = new FleetStand();
const ways = new Map<string, readonly Switchboard[]>();
beforeAll(async () => {
  for (const name of NAMES)
    ways.set(name, [
      await Switchboard.listen(stand.primary.port),
      await Switchboard.listen(stand.standby.port),
    ]);
});
afterAll(async () => {
  await fleet.stop();
  for (const way of [...ways.values()].flat()) await way.close();
});

function urlOf(name: string): string {
  const places = ways.get(name)!.map(({ port }) => `127.0.0.1:${port}`);
  return `postgres://${OWNER}@${places.join(',')}/${DATABASE}`;
}

type Books = {
  /** In the chains of all. */
  readonly doneHashes: bigint;
  /** Of it what the owner knows to be refused, and what a state pays. */
  readonly refusedHashes: bigint;
  readonly signedHashes: bigint;
};

/** What all chains say at one moment. */
async function booksOf(options: PostgresOptions, contractId: string): Promise<Books> {
  const reader = await FleetReader.open(options);
  try {
    const kinds = [STREAM_KIND, CHANNEL_KIND, DELIVERY_KIND];
    const documents = kinds.map((kind) => ({ kind, id: contractId }));
    const all = await reader.gather({ kind: 'none', stream: '' }, documents, new Map(), 1);
    let [doneHashes, signedHashes, refusedHashes] = [0n, 0n, 0n];
    for (const { bodies } of all) {
      const [total, channel, delivery] = bodies;
      if (total !== undefined) doneHashes += parseStreamTotal(contractId, total).workHashes;
      if (channel === undefined || delivery === undefined) continue;
      const { workHashes } = parseBody(CHANNEL_KIND, channelCodec, channel);
      if (workHashes < signedHashes) continue;
      signedHashes = workHashes;
      const { ownWorkHashes, verifiedWorkHashes } = parseBody(DELIVERY_KIND, deliveryCodec, delivery);
      refusedHashes = ownWorkHashes - verifiedWorkHashes;
    }
    return { doneHashes, signedHashes, refusedHashes };
  } finally {
    await reader.close();
  }
}

async function ownerNow(): Promise<FleetProxy | undefined> {
  const owners: FleetProxy[] = [];
  for (const each of fleet.proxies) {
    const status = await fleet.statusOf(each);
    if (status?.shared_contracts.some((shared) => shared.is_owner && shared.live) === true)
      owners.push(each);
  }
  return owners.length === 1 ? owners[0] : undefined;
}

const WRONGS = {
  'the owner was killed': async ({ daemon }: FleetProxy) => {
    await daemon.kill();
    await daemon.start();
  },
  'the owner slept beyond its lease': async ({ daemon }: FleetProxy) => {
    signal(daemon, 'SIGSTOP');
    await sleep(systemTimers, 2 * LEASE_MS);
    signal(daemon, 'SIGCONT');
  },
  'the owner was cut from the ledger': async ({ name }: FleetProxy) => {
    for (const way of ways.get(name)!) way.cut();
    await sleep(systemTimers, LEASE_MS + 200);
    for (const way of ways.get(name)!) way.mend();
  },
} as const;

it(
  'three proxies sell under one contract, whatever happens to the one that has its channel',
  async () => {
    const options = stand.options('reader');
    await fleet.start(NAMES, urlOf, `${LEASE_MS / 1000}s`);
    const asics = await fleet.asics(3, 60_000);
    await fleet.goesOn('the start');
    const contractId = (await fleet.bought())!.contract_id;
    let mostHashes = 0n;
    let isOver = false;
    const watching = (async () => {
      while (!isOver) {
        const { doneHashes, signedHashes, refusedHashes } = await booksOf(
          { ...options, instance: NAMES[0] },
          contractId,
        );
        const unpaidHashes = doneHashes - refusedHashes - signedHashes;
        if (unpaidHashes > mostHashes) mostHashes = unpaidHashes;
        await sleep(systemTimers, 100);
      }
    })();
    const owners = new Set<string>();
    const endMs = performance.now() + SECONDS * 1000;
    for (let round = 0; round < 3 || performance.now() < endMs; round += 1) {
      const [what, does] = Object.entries(WRONGS)[round % 3]!;
      const owner = await until('one has the channel', ownerNow);
      owners.add(owner.name);
      await does(owner);
      await fleet.goesOn(what);
    }
    isOver = true;
    await watching;
    const reports = asics.reports();
    await asics.stop();
    expect(owners.size).toBeGreaterThan(1);
    expect(mostHashes).toBeGreaterThan(0n);
    expect(mostHashes <= MAX_UNPAID_HASHES, `${mostHashes} unpaid`).toBe(true);
    const sum = (of: (report: (typeof reports)[number]) => number): number =>
      reports.reduce((total, report) => total + of(report), 0);
    const rejected = sum((report) => Object.values(report.rejected).reduce((a, b) => a + b, 0));
    const submitted = sum((report) => report.submitted);
    expect(submitted).toBeGreaterThan(0);
    // Of a minute a few shares are much: a ledger that is away for two seconds has them refused.
    if (SECONDS >= 600) expect(rejected / submitted).toBeLessThan(0.005);
    await until('both sides have the same account, to the hash', async () => {
      const books = await booksOf({ ...options, instance: NAMES[0] }, contractId);
      const row = await fleet.bought();
      const owner = await ownerNow();
      const status = owner && (await fleet.statusOf(owner));
      const verified = BigInt(row?.verified_work_hashes ?? 0);
      const isSame = BigInt(status?.contract?.work_hashes ?? 0) === books.doneHashes;
      return isSame && verified === books.doneHashes ? true : undefined;
    });
    for (const { daemon } of fleet.proxies) expect(await daemon.stop()).toBe(0);
    const reader = await FleetReader.open({ ...options, instance: NAMES[0] });
    const members = await reader.gather(
      { kind: 'none', stream: '' },
      [{ kind: 'member', id: contractId }],
      new Map(),
      1,
    );
    await reader.close();
    expect(
      members.flatMap(({ bodies: [body] }) => (body === undefined ? [] : [parseMember(body).isLeft])),
    ).toEqual([true, true, true]);
    const { chains, problem } = await verifyPostgresFleet({ ...options, instance: NAMES[0] });
    expect([problem, chains.every(({ verification }) => verification.ok)]).toEqual([undefined, true]);
  },
  180_000 + SECONDS * 1000,
);
