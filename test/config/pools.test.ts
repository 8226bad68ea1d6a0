import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { MakerConfig } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';

const PRICE = { 'policy.max_price': '46000 sat/PH/day' };
const pool = (index: number, name: string, more: Record<string, string> = {}) => ({
  [`pool.${index}.name`]: name,
  [`pool.${index}.url`]: 'stratum+tcp://pool.example:3333',
  [`pool.${index}.worker`]: 'me',
  ...more,
});

function load(flags: Record<string, string>): MakerConfig {
  return loadConfig('maker', { env: { HOME: '/h' }, flags: { ...PRICE, ...flags } });
}

function refusal(flags: Record<string, string>): string {
  try {
    load(flags);
    return 'taken';
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return error.message;
  }
}

describe('the pools of a maker', () => {
  it('are none unless they are named, and then no jobs of its own are sold to', () => {
    const { pools, policy } = load({});
    expect([pools, policy.bindings]).toEqual([[], ['payout']]);
    expect(refusal({ 'policy.bindings': 'work' })).toMatch('policy.bindings');
  });

  it('come best first, with what a destination of the proxy has', () => {
    const tls = { 'pool.1.url': 'stratum+ssl://b.example:443', 'pool.1.tls_server_name': 'x.example' };
    const { pools, policy } = load({ ...pool(0, 'a', { 'pool.0.priority': '2' }), ...pool(1, 'b', tls) });
    expect(pools.map(({ name, priority }) => [name, priority])).toEqual([
      ['b', 0],
      ['a', 2],
    ]);
    expect(pools[0]).toMatchObject({
      ...{ host: 'b.example', port: 443, versionMask: 0x1fff_e000, password: { type: 'text', text: 'x' } },
      tls: { serverName: 'x.example', verify: true },
    });
    expect(policy.bindings).toEqual(['work', 'payout']);
  });

  it('have names of their own, and TLS options only with TLS', () => {
    expect(refusal({ ...pool(0, 'a'), ...pool(1, 'a') })).toMatch('pool.1.name');
    expect(refusal(pool(0, 'a', { 'pool.0.tls_server_name': 'x.example' }))).toMatch('tls_server_name');
  });

  it('are for contracts of the bindings that are taken', () => {
    expect(load({ ...pool(0, 'a'), 'policy.bindings': 'work' }).policy.bindings).toEqual(['work']);
    expect(load({ ...pool(0, 'a'), 'policy.bindings': 'payout' }).policy.bindings).toEqual(['payout']);
  });
});
