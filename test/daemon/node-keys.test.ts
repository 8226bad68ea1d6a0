import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemRandom } from '../../src/base/random.ts';
import { publicKeysOf } from '../../src/channel/public-keys.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import { assertNodeKeyFits, openKeys } from '../../src/daemon/node-keys.ts';
import { silentLogger } from '../../src/log/logger.ts';
import {
  type ChannelRecord,
  channelEntry,
  contractEntry,
  watchedEntry,
} from '../../src/settlement/records.ts';
import { makeTerms } from '../channel/fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const root = mkdtempSync(join(tmpdir(), 'node-keys-'));
afterAll(() => rmSync(root, { recursive: true }));

type At = Parameters<typeof openKeys>[0];

function place(isNamed = false): At {
  const dataDir = mkdtempSync(join(root, 'node-'));
  const seedFile = join(dataDir, isNamed ? 'named' : 'seed');
  return { network: 'regtest', dataDir, keys: { seedFile, isNamed, nodeNumber: 0 } };
}

function open(at: At) {
  const lines: object[] = [];
  const log = { ...silentLogger, info: (fields: object) => lines.push(fields) };
  const signer = openKeys(at, { random: systemRandom, log });
  return { nodeId: toHex(nodeIdBytes(signer)), lines };
}

function refused(at: At): string {
  try {
    open(at);
  } catch (error) {
    return codeOf(error);
  }
  return 'opened';
}

describe('the keys of a daemon', () => {
  it('are made for a new node, kept, and their node id is logged at each start', () => {
    const at = place();
    const first = open(at);
    expect(first.lines).toEqual([{ node_id: first.nodeId, key_file: at.keys.seedFile }]);
    writeFileSync(join(at.dataDir, 'ledger.sqlite'), '');
    const second = open(at);
    expect(second).toEqual(first);
    expect(readFileSync(at.keys.seedFile, 'utf8')).toHaveLength(65);
  });

  it('are never made up where the configuration names a file that is not there', () => {
    const at = place(true);
    expect(refused(at)).toBe('key_file_missing');
    expect(existsSync(at.keys.seedFile)).toBe(false);
  });

  it('are never made up beside the ledger of a node that had keys', () => {
    const at = place();
    writeFileSync(join(at.dataDir, 'ledger.sqlite'), '');
    expect(refused(at)).toBe('key_file_missing');
    expect(existsSync(at.keys.seedFile)).toBe(false);
  });
});

describe('another node key', () => {
  const seed = new Uint8Array(32).fill(7);
  const signerOf = (nodeNumber: number): SeedSigner =>
    new SeedSigner({ seed, network: 'regtest', nodeNumber, channelIndex: 3 });
  const idOf = (signer: SeedSigner): string => toHex(nodeIdBytes(signer));

  it('is of the same seed, is the first for who never changed it, and leaves the keys of money alone', () => {
    const ids = [0, 1, 2].map((number) => idOf(signerOf(number)));
    expect(new Set(ids).size).toBe(3);
    expect(ids[0]).toBe(idOf(new SeedSigner({ seed, network: 'regtest' })));
    for (const role of ['wallet', 'channel', 'refund', 'bond', 'exit', 'seal', 'sealExit'] as const)
      expect(signerOf(1).publicKey(role), role).toEqual(signerOf(0).publicKey(role));
    expect(signerOf(1).origin('node').path).toBe("m/7363'/8'/1'");
    expect(publicKeysOf(seed, 'regtest', 3, 1).nodeId).toBe(ids[1]);
    const at = place();
    const first = open(at).nodeId;
    expect(open({ ...at, keys: { ...at.keys, nodeNumber: 1 } }).nodeId).not.toBe(first);
    expect(open(at).nodeId).toBe(first);
  });

  const ID = 'cd'.repeat(32);
  const ledgerWith = async (role: 'miner' | 'maker', status: string | undefined, isOver = false) => {
    const ledger = new MemoryLedger();
    const side = role === 'miner' ? 'minerNodeId' : 'makerNodeId';
    const terms = makeTerms({ [side]: idOf(signerOf(0)) });
    const signatures = { minerSignature: 'aa'.repeat(64), makerSignature: 'bb'.repeat(64) };
    await ledger.append([contractEntry(ID, { version: 1, role, terms, channelIndex: 3, ...signatures })]);
    const empty = { fundingTxid: 'ab'.repeat(32), fundingVout: 0, n: 0, workHashes: 0n, paidSat: 0n };
    const close = { reason: '', closeTx: undefined, closeFeeSat: undefined };
    const record = { version: 1, role, status, ...empty, ...close } as ChannelRecord;
    if (status !== undefined) await ledger.append([channelEntry(ID, record)]);
    if (isOver) await ledger.append([watchedEntry(ID)]);
    return ledger;
  };
  const outcome = (ledger: MemoryLedger, nodeNumber: number): Promise<string> =>
    assertNodeKeyFits(ledger, signerOf(nodeNumber)).then(() => 'starts', codeOf);

  it.each(['miner', 'maker'] as const)(
    'is refused to a %s until nothing of its contracts is left',
    async (role) => {
      for (const status of ['opening', 'funding', 'open', 'closing', 'closed']) {
        const ledger = await ledgerWith(role, status);
        expect([status, await outcome(ledger, 0), await outcome(ledger, 1)]).toEqual([
          ...[status, 'starts', 'node_key_in_use'],
        ]);
      }
      expect(await outcome(await ledgerWith(role, 'closed', true), 1)).toBe('starts');
      expect(await outcome(await ledgerWith(role, 'failed'), 1)).toBe('starts');
      expect(await outcome(await ledgerWith(role, undefined), 1)).toBe('starts');
      expect(await outcome(new MemoryLedger(), 1)).toBe('starts');
      // A record that cannot be read is for who serves it to tell: miners are served meanwhile.
      const damaged = await ledgerWith(role, 'open');
      await damaged.append([{ type: 'put', kind: 'channel', id: ID, body: '{' }]);
      expect(await outcome(damaged, 1)).toBe('starts');
    },
  );
});
