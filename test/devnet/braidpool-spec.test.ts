import { afterEach, describe, expect, it } from 'vitest';
import { concat, fromHex, toHex } from '../../src/base/bytes.ts';
import { coinbaseOutputs } from '../../src/bitcoin/coinbase.ts';
import { targetOfCompact } from '../../src/bitcoin/target.ts';
import { workerScriptHex } from '../../src/bitcoin/worker-address.ts';
import { encodeCommitted } from '../../src/devnet/braidpool/bead.ts';
import type { BraidpoolNodeOptions } from '../../src/devnet/braidpool/braidpool-node.ts';
import {
  COMMITMENT_PLACEHOLDER,
  commitmentIn,
  commitmentOf,
  parseMetadata,
} from '../../src/jobs/bead-metadata.ts';
import { startNode } from '../upstream/braid-node.ts';
import { mine, submitParams } from './mining.ts';
import { type Message, RawClient } from './raw-client.ts';
import { post } from './rpc-client.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const EASY = targetOfCompact(0x207fffff);
const MAKER = 'bcrt1qmaker.rig';

async function setUp(options: BraidpoolNodeOptions = { profile: 'spec' }) {
  const { node } = await startNode(options);
  closers.push(() => node.close());
  return node;
}

type Connection = { readonly client: RawClient; readonly extranonce1: string };

async function connect(port: number, userName: string): Promise<Connection> {
  const client = await RawClient.connect(port);
  closers.push(() => client.close());
  const subscribed = await client.call(1, 'mining.subscribe', ['test']);
  await client.call(2, 'mining.authorize', [userName, 'x']);
  await client.first((message) => message['method'] === 'mining.notify');
  return { client, extranonce1: (subscribed['result'] as [unknown, string])[1] };
}

const lastJob = ({ client }: Connection): Message => client.notifications('mining.notify').at(-1)!;

/** The outputs of the coinbase of a job. */
function outputsOf(notify: Message, extranonceSize = 16) {
  const [, , coinb1, coinb2] = notify['params'] as [string, string, string, string];
  return coinbaseOutputs(concat(fromHex(coinb1), new Uint8Array(extranonceSize), fromHex(coinb2)));
}

describe('a node that commits its metadata in the proof of work', () => {
  it('names the user of each connection as the payee of its own jobs, and tells so by their commitment', async () => {
    const node = await setUp();
    for (const name of [MAKER, 'bcrt1qother']) {
      const connection = await connect(node.port, name);
      const commitment = commitmentIn(outputsOf(lastJob(connection)))!;
      const answer = await post(node.rpcUrl, 'getcommittedmetadata', [toHex(commitment)]);
      const encoded = fromHex(answer.result as string);
      expect(commitmentOf(encoded)).toEqual(commitment);
      const metadata = parseMetadata(encoded);
      expect(metadata.payoutAddress).toBe(name);
      expect(metadata.parents).toEqual(node.tips());
    }
  });

  it('makes the bead of a share of what the job committed to, whatever name it is submitted by', async () => {
    const node = await setUp();
    const connection = await connect(node.port, MAKER);
    const notify = lastJob(connection);
    const encoded = await post(node.rpcUrl, 'getcommittedmetadata', [
      toHex(commitmentIn(outputsOf(notify))!),
    ]);
    const { extranonce1 } = connection;
    const found = mine(notify, { extranonce1, extranonce2: '00'.repeat(8), fits: (hash) => hash <= EASY });
    const reply = await connection.client.call(3, 'mining.submit', submitParams('bcrt1qthief', found));
    expect(reply['result']).toBe(true);
    const { committed_metadata } = node.bead(found.hash)!.bead;
    expect(encoded.result).toBe(toHex(encodeCommitted(committed_metadata)));
    expect(committed_metadata.payout_address).toBe(MAKER);
  });

  it("refuses a share of another connection's job", async () => {
    const node = await setUp();
    const [own, other] = [await connect(node.port, MAKER), await connect(node.port, MAKER)];
    const { extranonce1 } = other;
    const found = mine(lastJob(own), {
      ...{ extranonce1, extranonce2: '00'.repeat(8), fits: (hash: bigint) => hash <= EASY },
    });
    const reply = await other.client.call(3, 'mining.submit', submitParams(MAKER, found));
    expect(reply).toMatchObject({ result: null, error: [21, expect.any(String), null] });
  });

  it('knows the commitments of its last templates, and no others', async () => {
    const node = await setUp();
    const connection = await connect(node.port, MAKER);
    const first = toHex(commitmentIn(outputsOf(lastJob(connection)))!);
    const errorOf = async (commitment: unknown) =>
      (await post(node.rpcUrl, 'getcommittedmetadata', [commitment])).error?.code;
    expect(await errorOf(first)).toBeUndefined();
    expect(await errorOf('00'.repeat(32))).toBe(3);
    expect(await errorOf('00')).toBe(1);
    expect(await errorOf(7)).toBe(1);
    // Another tip, so that the jobs to come commit to something else.
    const { extranonce1 } = connection;
    const found = mine(lastJob(connection), {
      ...{ extranonce1, extranonce2: '00'.repeat(8), fits: (hash: bigint) => hash <= EASY },
    });
    await connection.client.call(3, 'mining.submit', submitParams(MAKER, found));
    for (let template = 0; template < 100; template += 1) node.announce();
    await connection.client.until(() => connection.client.notifications('mining.notify').length > 100);
    expect(await errorOf(first)).toBe(3);
    expect(await errorOf(toHex(commitmentIn(outputsOf(lastJob(connection)))!))).toBeUndefined();
  });

  it('is another than the build of 2025, which pays one address of mainnet for all on regtest', async () => {
    const fixedPayoutAddress = 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4';
    const node = await setUp({ profile: 'of2025', quirks: { fixedPayoutAddress } });
    const connection = await connect(node.port, MAKER);
    const { extranonce1 } = connection;
    const found = mine(lastJob(connection), {
      ...{ extranonce1, extranonce2: '00'.repeat(4), fits: (hash: bigint) => hash <= EASY },
    });
    await connection.client.call(3, 'mining.submit', submitParams(MAKER, found));
    const { payout_address } = node.bead(found.hash)!.bead.committed_metadata;
    expect(payout_address).toBe(fixedPayoutAddress);
    // It pays nobody there, so to a maker it is a stolen bead like any other: the contract ends with it.
    expect(workerScriptHex(payout_address, 'regtest')).toBeUndefined();
  });

  it('is another than nodes as they are, which have a text there and no such method', async () => {
    for (const [profile, extranonceSize] of [
      ['asIs', 16],
      ['of2025', 8],
    ] as const) {
      const node = await setUp({ profile });
      const outputs = outputsOf(lastJob(await connect(node.port, MAKER)), extranonceSize);
      expect(commitmentIn(outputs)).toBeUndefined();
      expect(Buffer.from(outputs[2]!.script).toString('latin1')).toContain(COMMITMENT_PLACEHOLDER);
      const answer = await post(node.rpcUrl, 'getcommittedmetadata', ['00'.repeat(32)]);
      expect(answer.error?.code).toBe(-32_601);
    }
  });
});
