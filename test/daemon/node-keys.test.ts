import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemRandom } from '../../src/base/random.ts';
import { nodeIdBytes } from '../../src/channel/signer.ts';
import { openKeys } from '../../src/daemon/node-keys.ts';
import { silentLogger } from '../../src/log/logger.ts';

const root = mkdtempSync(join(tmpdir(), 'node-keys-'));
afterAll(() => rmSync(root, { recursive: true }));

function place(isNamed = false) {
  const dataDir = mkdtempSync(join(root, 'node-'));
  const seedFile = join(dataDir, isNamed ? 'named' : 'seed');
  return { network: 'regtest', dataDir, keys: { seedFile, isNamed } } as const;
}

function open(at: ReturnType<typeof place>) {
  const lines: object[] = [];
  const log = { ...silentLogger, info: (fields: object) => lines.push(fields) };
  const signer = openKeys(at, { random: systemRandom, log });
  return { nodeId: toHex(nodeIdBytes(signer)), lines };
}

function refused(at: ReturnType<typeof place>): string {
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
