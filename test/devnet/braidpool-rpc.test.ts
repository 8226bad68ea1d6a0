import * as net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { compareHashes } from '../../src/bitcoin/header.ts';
import { targetOfCompact, workOfTarget } from '../../src/bitcoin/target.ts';
import { type Bead, beadHash } from '../../src/devnet/braidpool/bead.ts';
import {
  type BraidpoolNode,
  type BraidpoolNodeOptions,
  startBraidpoolNode,
} from '../../src/devnet/braidpool/braidpool-node.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { printJson } from '../../src/devnet/net/json-text.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { mine, submitParams } from './mining.ts';
import { RawClient } from './raw-client.ts';
import { callRpc, post, postText, WebSocketClient } from './rpc-client.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const BITS = 0x1f7fffff;
const network = targetOfCompact(BITS);
const WORKER = 'bcrt1qworker.rig';
const UNKNOWN = '00'.repeat(32);

async function setUp(
  options: BraidpoolNodeOptions = {},
): Promise<{ chain: DevnetChain; node: BraidpoolNode; client: RawClient }> {
  const clock = systemClock;
  const chain = new DevnetChain({ bits: BITS }, { clock });
  const node = await startBraidpoolNode(options, { chain, log: silentLogger, clock, random: systemRandom });
  const client = await RawClient.connect(node.port);
  closers.push(
    () => client.close(),
    () => node.close(),
  );
  return { chain, node, client };
}

/** Mines blocks over Stratum; returns their hashes. */
async function mineBeads(client: RawClient, count: number): Promise<string[]> {
  const subscribed = await client.call(1, 'mining.subscribe', ['test']);
  await client.call(2, 'mining.authorize', [WORKER, 'x']);
  const extranonce1 = (subscribed['result'] as [unknown, string])[1];
  const hashes: string[] = [];
  for (let index = 0; index < count; index += 1) {
    await client.until(() => client.notifications('mining.notify').length > index);
    const notify = client.notifications('mining.notify')[index]!;
    const extranonce2 = '00'.repeat(8);
    const found = mine(notify, { extranonce1, extranonce2, fits: (hash) => hash <= network });
    const reply = await client.call(10 + index, 'mining.submit', submitParams(WORKER, found));
    expect(reply['result']).toBe(true);
    hashes.push(found.hash);
  }
  return hashes;
}

/** A bead with work of its own on these parents, as another node would send it. */
function foreignBead(model: Bead, parents: readonly string[], target: bigint, salt = 0): Bead {
  for (let nonce = salt * 2 ** 20; ; nonce += 1) {
    const bead: Bead = {
      ...model,
      block_header: { ...model.block_header, nonce },
      committed_metadata: {
        ...model.committed_metadata,
        parents: [...parents].sort(compareHashes),
        parent_bead_timestamps: parents.map(() => 1_700_000_000),
      },
    };
    if (BigInt(`0x${beadHash(bead)}`) <= target) return bead;
  }
}

describe('the RPC port over HTTP', () => {
  it('shows the beads that shares became, in the exact types of the node', async () => {
    const { node, client } = await setUp();
    const hashes = await mineBeads(client, 2);
    const url = node.rpcUrl;
    const text = (
      await postText(url, JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'getbead', params: [hashes[1]] }))
    ).text;
    expect(text).toMatch(/^\{"jsonrpc":"2.0","id":7,"result":\{"block_header":/);
    expect(text).toMatch(/"extra_nonce_1":\d+,"extra_nonce_2":0,/);
    const bead = (await callRpc(url, 'getbead', hashes[1])) as Bead;
    expect(beadHash({ ...bead })).toBe(hashes[1]);
    expect(bead).toEqual({
      block_header: {
        version: 0x20000000,
        prev_blockhash: hashes[0],
        merkle_root: expect.stringMatching(/^[0-9a-f]{64}$/),
        time: expect.any(Number),
        bits: BITS,
        nonce: expect.any(Number),
      },
      committed_metadata: {
        transaction_ids: expect.any(Array),
        parents: [hashes[0]],
        parent_bead_timestamps: [expect.any(Number)],
        payout_address: WORKER,
        start_timestamp: expect.any(Number),
        comm_pub_key: '02'.repeat(33),
        min_target: 486_604_799,
        weak_target: 486_604_799,
        miner_ip: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      },
      uncommitted_metadata: {
        extra_nonce_1: expect.anything(),
        extra_nonce_2: 0,
        broadcast_timestamp: expect.any(Number),
        signature: { signature: expect.stringMatching(/^30/), sighash_type: 'SIGHASH_ALL' },
      },
    });
    expect(bead.committed_metadata.transaction_ids.length).toBeGreaterThanOrEqual(9);
  });

  it('prints extranonces as bare integers beyond what a double holds', async () => {
    const quirks = { randomExtranonce1: false };
    const { node, client } = await setUp({ quirks });
    const [hash] = await mineBeads(client, 1);
    const model = (await callRpc(node.rpcUrl, 'getbead', hash)) as Bead;
    const uncommitted = { ...model.uncommitted_metadata, extra_nonce_1: 2n ** 64n - 1n };
    const bead = foreignBead({ ...model, uncommitted_metadata: uncommitted }, node.tips(), network, 1);
    await callRpc(node.rpcUrl, 'addbead', printJson(bead));
    const request = { jsonrpc: '2.0', id: 1, method: 'getbead', params: [beadHash(bead)] };
    const { text } = await postText(node.rpcUrl, JSON.stringify(request));
    expect(text).toContain('"extra_nonce_1":18446744073709551615,');
  });

  it('counts, lists and walks the braid', async () => {
    const { node, client } = await setUp();
    const url = node.rpcUrl;
    const genesis = await callRpc(url, 'getgenesis');
    const [first, second] = await mineBeads(client, 2);
    expect(await callRpc(url, 'getbeadcount')).toBe(3);
    expect(await callRpc(url, 'getcohortcount')).toBe(3);
    expect(await callRpc(url, 'gettips')).toEqual([second]);
    expect(await callRpc(url, 'getcohortbyid', 0)).toEqual([genesis]);
    expect(await callRpc(url, 'getcohortbyid', 2)).toEqual([second]);
    expect(await callRpc(url, 'getparents', second)).toEqual([first]);
    expect(await callRpc(url, 'getchildren', genesis)).toEqual([first]);
    expect(await callRpc(url, 'gethighestworkpathbycount', 2)).toEqual([genesis, first]);
    expect(await callRpc(url, 'getbraidinfo')).toEqual({
      bead_count: 3,
      tip_count: 1,
      tips: [second],
      cohort_count: 3,
      orphan_count: 0,
      genesis_beads: [genesis],
      total_work: (3n * workOfTarget(network)).toString(),
    });
    expect(await callRpc(url, 'getnodeinfo', second)).toEqual({
      common_pubkey: '02'.repeat(33),
      miner_ip: expect.stringMatching(/^127/),
      payout_address: WORKER,
      minimum_target: '486604799',
    });
  });

  it('tells of miners, work, peers, queues and staged transactions', async () => {
    const { node, client } = await setUp();
    const url = node.rpcUrl;
    await mineBeads(client, 1);
    const [address] = (await callRpc(url, 'getminerinfo')) as [string];
    expect(address).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(await callRpc(url, 'getmininginfo', { miner_ips: [address], public_keys: [] })).toEqual({
      our_beads_count: 1,
      total_beads_in_braid: 2,
      our_total_work: workOfTarget(network).toString(),
      total_work_in_braid: (2n * workOfTarget(network)).toString(),
      our_work_share_percent: 50,
      payout_address: WORKER,
      filter_info: 'Filtered by: miner_ips:1',
    });
    expect(await callRpc(url, 'getpeerinfo')).toMatchObject({ total_peers: 0, connected: 0, peers: [] });
    expect(await callRpc(url, 'getipcstats')).toEqual({
      failed_requests: 0,
      pending_requests: 0,
      avg_processing_time_ms: 0,
      queue_sizes: { critical: 0, high: 0, normal: 0, low: 0 },
    });
    const staged = (await callRpc(url, 'stagedtransactions')) as { txid: string; tx: object }[];
    expect(staged.length).toBeGreaterThanOrEqual(8);
    expect(staged[0]).toEqual({
      txid: expect.stringMatching(/^[0-9a-f]{64}$/),
      tx: {
        version: 2,
        lock_time: 0,
        input: [
          {
            previous_output: expect.stringMatching(/^[0-9a-f]{64}:\d+$/),
            script_sig: '',
            sequence: 0xfffffffd,
            witness: ['51'],
          },
        ],
        output: [{ value: expect.any(Number), script_pubkey: expect.stringMatching(/^0020/) }],
      },
    });
  });

  it('takes beads with work, says when they wait or are there, refuses the others', async () => {
    const { node, client } = await setUp();
    const url = node.rpcUrl;
    const [first] = await mineBeads(client, 1);
    const model = node.bead(first!)!.bead;
    const parent = foreignBead(model, [first!], network, 1);
    const child = foreignBead(model, [beadHash(parent)], network, 2);
    const add = (bead: Bead): Promise<unknown> => callRpc(url, 'addbead', printJson(bead));
    expect(await add(child)).toBe('Bead queued, waiting for parents');
    expect(await callRpc(url, 'getbraidinfo')).toMatchObject({ bead_count: 2, orphan_count: 1 });
    expect(await add(parent)).toBe('Bead added successfully');
    expect(await callRpc(url, 'getbraidinfo')).toMatchObject({
      bead_count: 4,
      orphan_count: 0,
      tips: [beadHash(child)],
    });
    expect(await add(child)).toBe('Bead already exists');
    const easy = foreignBead(model, [first!], (1n << 256n) - 1n, 3);
    await expect(add(easy)).rejects.toThrow('4 Invalid bead');
    const unsorted = foreignBead(model, [first!, beadHash(parent)], network, 4);
    const parents = [...unsorted.committed_metadata.parents].reverse();
    const committed_metadata = { ...unsorted.committed_metadata, parents };
    await expect(add({ ...unsorted, committed_metadata })).rejects.toThrow('4 Invalid bead');
    await expect(callRpc(url, 'addbead', '{}')).rejects.toThrow(/^1 Invalid bead data: /);
    await expect(callRpc(url, 'addbead', 'no json')).rejects.toThrow(/^1 Invalid bead data: /);
  });

  it('answers with the node’s error codes', async () => {
    const { node } = await setUp({ genesis: false });
    const url = node.rpcUrl;
    const codes: readonly (readonly [method: string, params: unknown[], code: number])[] = [
      ['getbead', ['xyz'], 1],
      ['getbead', [UNKNOWN], 3],
      ['getbead', [], -32_602],
      ['getparents', [UNKNOWN], 3],
      ['getchildren', [UNKNOWN.slice(1)], 1],
      ['getnodeinfo', [UNKNOWN], 3],
      ['getcohortbyid', [0], 3],
      ['getcohortbyid', [-1], -32_602],
      ['getgenesis', [], 5],
      ['getmininginfo', [], 2],
      ['getmininginfo', [{}], 2],
      ['getmininginfo', [{ public_keys: 'one' }], 1],
      ['gethighestworkpathbycount', [1], 7],
      ['gethighestworkpathbycount', [256], -32_602],
      ['bitcoinproxy', ['getblockcount', []], 5],
      ['getnothing', [], -32_601],
      ['subscribebead', [], -32_603],
    ];
    for (const [method, params, code] of codes) {
      expect([method, (await post(url, method, params)).error?.code]).toEqual([method, code]);
    }
    expect(await callRpc(url, 'getmininginfo', { public_keys: ['02'] })).toMatchObject({
      our_work_share_percent: 0,
      payout_address: null,
      filter_info: 'No beads in braid',
    });
    expect(await callRpc(url, 'gettips')).toEqual([]);
  });

  it('knows the highest path’s bounds', async () => {
    const { node } = await setUp();
    const codes = await Promise.all(
      [0, 2].map(async (limit) => (await post(node.rpcUrl, 'gethighestworkpathbycount', [limit])).error),
    );
    expect(codes.map((error) => error?.code)).toEqual([6, 6]);
  });

  it('speaks JSON-RPC 2.0: named parameters, batches, notifications, and what is none', async () => {
    const { node } = await setUp();
    const url = node.rpcUrl;
    const named = await post(url, 'getbead', { bead_hash: node.tips()[0] });
    expect(named.result).toBeDefined();
    const batch = [
      { jsonrpc: '2.0', id: 'a', method: 'getbeadcount' },
      { jsonrpc: '2.0', method: 'gettips' },
      { jsonrpc: '2.0', id: null, method: 'getnothing' },
    ];
    expect(JSON.parse((await postText(url, JSON.stringify(batch))).text)).toEqual([
      { jsonrpc: '2.0', id: 'a', result: 1 },
      { jsonrpc: '2.0', id: null, error: { code: -32_601, message: 'Method not found' } },
    ]);
    const notification = await postText(url, '{"jsonrpc":"2.0","method":"gettips"}');
    expect(notification).toEqual({ status: 200, text: '' });
    expect(JSON.parse((await postText(url, '{')).text)).toMatchObject({ error: { code: -32_700 } });
    expect(JSON.parse((await postText(url, '[]')).text)).toMatchObject({ error: { code: -32_600 } });
    expect(JSON.parse((await postText(url, '{"id":1}')).text)).toMatchObject({ error: { code: -32_600 } });
    expect((await fetch(url)).status).toBe(405);
    expect((await fetch(url, { method: 'POST', body: '{}' })).status).toBe(415);
  });
});

describe('the RPC port over WebSocket', () => {
  it('answers calls and pushes new beads to subscribers until they leave', async () => {
    const { node, client } = await setUp();
    const socket = await WebSocketClient.connect(node.rpcUrl);
    expect(await socket.call(1, 'getbeadcount')).toEqual({ jsonrpc: '2.0', id: 1, result: 1 });
    const { result: id } = await socket.call(2, 'subscribebead');
    const [hash] = await mineBeads(client, 1);
    await socket.until(() => socket.notifications().length === 1);
    const [pushed] = socket.notifications();
    expect(pushed!.subscription).toBe(id);
    expect(beadHash(pushed!.result as Bead)).toBe(hash);
    expect((await socket.call(3, 'unsubscribebead', [id])).result).toBe(true);
    expect((await socket.call(4, 'unsubscribebead', [id])).result).toBe(false);
    const model = node.bead(hash!)!.bead;
    await callRpc(node.rpcUrl, 'addbead', printJson(foreignBead(model, node.tips(), network, 1)));
    await socket.call(5, 'gettips');
    expect(socket.notifications()).toHaveLength(1);
    expect(node.rpcStats.subscriptions).toBe(0);
    socket.socket.close();
    await socket.until(() => socket.closeCode !== undefined);
  });

  it('coalesces a burst: the latest bead always arrives, the others may not', async () => {
    const { node, client } = await setUp();
    const [hash] = await mineBeads(client, 1);
    const socket = await WebSocketClient.connect(node.rpcUrl);
    await socket.call(1, 'subscribebead');
    const model = node.bead(hash!)!.bead;
    const beads = [1, 2, 3].map((salt) => foreignBead(model, [hash!], network, salt));
    const batch = beads.map((bead, index) => ({
      jsonrpc: '2.0',
      id: index,
      method: 'addbead',
      params: [printJson(bead)],
    }));
    await postText(node.rpcUrl, JSON.stringify(batch));
    await socket.until(() => socket.notifications().length > 0);
    await socket.call(2, 'gettips');
    const pushed = socket.notifications().map(({ result }) => beadHash(result as Bead));
    expect(pushed).toEqual([beadHash(beads[2]!)]);
    expect(await callRpc(node.rpcUrl, 'getcohortcount')).toBe(3);
    expect(await callRpc(node.rpcUrl, 'getcohortbyid', 2)).toHaveLength(3);
    socket.socket.close();
  });

  it('puts fragments together, answers pings, and ends on what no client may send', async () => {
    const { node } = await setUp();
    const frame = (first: number, payload: Buffer, masked = true): Buffer => {
      const mask = Buffer.from([1, 2, 3, 4]);
      const body = Buffer.from(payload.map((byte, index) => (masked ? byte ^ mask[index % 4]! : byte)));
      const size = Buffer.from([first, (masked ? 0x80 : 0) | payload.length]);
      return Buffer.concat([size, masked ? mask : Buffer.alloc(0), body]);
    };
    const text = Buffer.from('{"jsonrpc":"2.0","id":9,"method":"getbeadcount"}');
    const good = [
      frame(0x01, text.subarray(0, 10)),
      frame(0x89, Buffer.from('hi')),
      frame(0x80, text.subarray(10)),
    ];
    const answer = await rawWebSocket(node.rpcPort, good);
    expect(answer.includes(Buffer.concat([Buffer.from([0x8a, 2]), Buffer.from('hi')]))).toBe(true);
    expect(answer.includes('"id":9,"result":1')).toBe(true);
    const bad: readonly (readonly [Buffer, number])[] = [
      [frame(0x81, text, false), 1002],
      [frame(0x80, text), 1002],
      [frame(0xc1, text), 1002],
      [frame(0x09, Buffer.from('hi')), 1002],
      [frame(0x82, text), 1003],
      [frame(0x81, Buffer.from([0xff, 0xfe])), 1007],
      [Buffer.from([0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]), 1009],
    ];
    for (const [bytes, code] of bad) {
      const close = await rawWebSocket(node.rpcPort, [bytes]);
      expect(close.subarray(-4)).toEqual(Buffer.from([0x88, 2, code >> 8, code & 0xff]));
    }
  });
});

/** Upgrades by hand, sends frames, and returns all bytes until a close or a reply with `id` 9. */
function rawWebSocket(port: number, frames: readonly Buffer[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    let seen = Buffer.alloc(0);
    socket.on('connect', () => {
      const key = Buffer.alloc(16, 7).toString('base64');
      socket.write(
        'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
          `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
      );
      for (const frame of frames) socket.write(frame);
    });
    socket.on('data', (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk]);
      if (seen.includes('"id":9')) socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(seen));
  });
}
