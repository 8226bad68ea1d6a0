import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import {
  authCodec,
  codecsOf,
  helloCodec,
  type MethodName,
  methods,
  type Params,
  type Result,
} from '../../src/peer/messages.ts';
import { workJobCodec } from '../../src/peer/work-codecs.ts';
import { samples } from './message-samples.ts';

const names = Object.keys(methods) as MethodName[];
const overWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

function checkRoundTrip<M extends MethodName>(name: M): void {
  const { params, result } = codecsOf(name);
  fc.assert(
    fc.property(samples[name].params as fc.Arbitrary<Params<M>>, (message) => {
      expect(params.parse(overWire(params.print(message)))).toEqual(message);
    }),
    { numRuns: 40 },
  );
  fc.assert(
    fc.property(samples[name].result as fc.Arbitrary<Result<M>>, (message) => {
      expect(result.parse(overWire(result.print(message)))).toEqual(message);
    }),
    { numRuns: 40 },
  );
}

function refusal(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return error.code;
  }
}

describe('messages', () => {
  it.each(names)('%s is parsed as it was printed', (name) => checkRoundTrip(name));

  it('are refused with a code, never with a crash, whatever the JSON', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.json(), (name, text) => {
        const value: unknown = JSON.parse(text);
        for (const codec of [methods[name].params, methods[name].result, helloCodec, authCodec]) {
          const code = refusal(() => codec.parse(value));
          expect([undefined, 'protocol', 'bad_terms', 'bad_funding']).toContain(code);
        }
      }),
    );
  });

  it('are refused with one field missing, unknown or of another kind', () => {
    const message = fc.sample(samples['work.batch'].params, 1)[0]!;
    const { params } = codecsOf('work.batch');
    const wire = params.print(message) as Record<string, unknown>;
    expect(refusal(() => params.parse({ ...wire, more: 1 }))).toBe('protocol');
    for (const key of Object.keys(wire)) {
      const { [key]: _left, ...rest } = wire;
      expect(refusal(() => params.parse(rest))).toBe('protocol');
      for (const wrong of [null, true, -1, 1.5, 'x', '-1', '01', {}, []]) {
        expect(refusal(() => params.parse({ ...wire, [key]: wrong }))).toBe('protocol');
      }
    }
    const many = Array.from({ length: 1025 }, () => (wire['shares'] as unknown[])[0]);
    expect(refusal(() => params.parse({ ...wire, shares: many }))).toBe('protocol');
  });

  it('give a job as the maker spells it, and none that cannot be one', () => {
    const prevHash = Uint8Array.from({ length: 32 }, (_, index) => index);
    const job = {
      ...{ id: 0x2a, version: 0x20000000, prevHash, coinb1: Uint8Array.of(1), coinb2: Uint8Array.of(2, 3) },
      ...{ branches: [new Uint8Array(32).fill(7)], bits: 0x1d00ffff, time: 0x65000000 },
      ...{ extranonce1: Uint8Array.of(0xab), extranonce2Size: 8, versionMask: 0x1fffe000 },
      ...{ upstreamTarget: 0xffffn << 208n, shareTarget: 2n ** 255n - 1n, clean: true },
    };
    const wire = {
      ...{ id: '2a', version: '20000000', coinb1: '01', coinb2: '0203', nbits: '1d00ffff' },
      prevhash: '03020100070605040b0a09080f0e0d0c13121110171615141b1a19181f1e1d1c',
      ...{ merkle_branches: ['07'.repeat(32)], ntime: '65000000', extranonce1: 'ab', extranonce2_size: 8 },
      ...{ version_mask: '1fffe000', upstream_target: `00000000ffff${'0'.repeat(52)}` },
      ...{ share_target: `7f${'ff'.repeat(31)}`, clean: true },
    };
    expect(workJobCodec.print(job)).toEqual(wire);
    expect(workJobCodec.parse(wire)).toEqual(job);
    const bad = [
      { share_target: '00'.repeat(32) },
      { share_target: `80${'00'.repeat(31)}` },
      { upstream_target: 'ff'.repeat(32) },
      { nbits: '00000000' },
      { coinb2: '00'.repeat(32 * 1024 - 9) },
      { extranonce2_size: 33 },
      { merkle_branches: Array.from({ length: 33 }, () => '07'.repeat(32)) },
      { clean: 1 },
      { id: '0x2a' },
    ];
    for (const change of bad)
      expect(refusal(() => workJobCodec.parse({ ...wire, ...change }))).toBe('protocol');
    const full = { ...wire, coinb2: '00'.repeat(32 * 1024 - 10) };
    expect(refusal(() => workJobCodec.parse(full))).toBeUndefined();
  });

  it('spell bytes in lower case and numbers as decimal strings', () => {
    const { params } = codecsOf('close.sig');
    const wire = params.print({
      contractId: 'ab'.repeat(32),
      n: 3,
      feeSat: 2n ** 70n,
      signature: 'cd'.repeat(64),
    });
    expect(wire).toEqual({
      contract_id: 'ab'.repeat(32),
      n: 3,
      fee_sat: '1180591620717411303424',
      signature: 'cd'.repeat(64),
    });
    const upper = { ...(wire as object), signature: 'CD'.repeat(64) };
    expect(refusal(() => params.parse(upper))).toBe('protocol');
  });
});
