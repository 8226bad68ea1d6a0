import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { refusal, sharestream } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'sharestream-devnet-'));
afterAll(() => rmSync(folder, { recursive: true }));

const ports = (taken: Readonly<Record<string, number>>): string[] =>
  Object.entries({ chain: 0, node: 0, 'node-rpc': 0, pool: 0, ...taken }).flatMap(([name, port]) => [
    `--${name}-port`,
    String(port),
  ]);

describe('a devnet that cannot start', () => {
  it.each(['chain', 'node', 'node-rpc', 'pool'])(
    'as the port of its %s is taken says so and ends',
    async (name) => {
      const other = createServer().listen(0, '127.0.0.1');
      await once(other, 'listening');
      const { port } = other.address() as AddressInfo;
      const { code, stderr, stdout } = await sharestream(['devnet', ...ports({ [name]: port })]);
      other.close();
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/^address_in_use: /);
      expect(stderr).toContain(`127.0.0.1:${port}`);
    },
  );

  it('never writes over a configuration', async () => {
    writeFileSync(join(folder, 'proxy.toml'), 'mine');
    expect(await refusal(['devnet', ...ports({}), '--out', folder])).toBe('1 output_refused');
  });
});

describe('its words', () => {
  it.each([
    ['devnet', 'mine', '0x10'],
    ['devnet', 'mine', '1', '2'],
    ['devnet', 'fund'],
    ['devnet', 'asics'],
    ['devnet', 'asics', 'here'],
    ['devnet', 'burn'],
    ['devnet', '--pool-port', '65536'],
    ['devnet', '--block-interval', 'soon'],
    ['devnet', 'fund', 'bcrt1q', '--amount', 'much'],
  ])('%s %s %s are refused', async (...words) => {
    expect(await refusal(words)).toBe('2 usage');
  });

  it('need a devnet that runs', async () => {
    expect(await refusal(['devnet', 'mine', '--rpc-url', 'http://127.0.0.1:1'])).toBe(
      '1 chain_unreachable',
    );
  });
});
